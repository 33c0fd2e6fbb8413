"""Latency of an exported file, measured as a table's networks were and on the table's scale."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from hwnat.errors import TableMismatchError
from hwnat.profile.conditions import ConditionsReader, choose_cores, pinned, read_host
from hwnat.profile.models import Models, bound
from hwnat.profile.paired import shuffled_rounds, visit
from hwnat.records.arch import Arch
from hwnat.records.measurement import Measurement, network_key
from hwnat.records.space import get_space
from hwnat.table.build import entry
from hwnat.table.entry import Entry
from hwnat.table.lookup import LatencyTable
from hwnat.targets.base import Session, get_target
from hwnat.transport.local import LocalTransport


def time_file(path: Path, table: LatencyTable, *, cache: Path) -> Entry:
    """Time a file in alternation with the reference model of `table`.

    The ratio of two models moves by some percent from process to process, with where their memory
    lies. So the networks that calibrate the table are timed too, and what they have moved by in the
    median is divided out.

    Args:
        path: a file that the table's target can load.
        table: says runtime, threads, protocol and reference model, and the latter's latency.
        cache: folder of exported models; what the table needs is written there if it is absent.

    Returns:
        Nanoseconds on the table's scale, comparable with its predictions.

    Raises:
        TableMismatchError: the table was measured on another machine.
    """
    _same_machine(table)
    (space, classes), (_, reference_ns) = table.of_space(), table.timed_as()
    known = {
        network_key(space, each.genome, classes=classes, batch=table.setup.batch): each
        for each in table.calibration.networks
    }
    sessions = _load(table, tuple(known), cache=cache)
    target = get_target(table.setup.target)
    sessions[str(path)] = bound(target, path, threads=table.setup.threads, seed=0)
    visits = _visit_all(table, sessions)
    found = {key: entry(each, reference_ns=reference_ns) for key, each in visits.items()}
    shifts = [each.measured_ns / found[key].p50_ns for key, each in known.items()]
    scale = median(shifts) if shifts else 1.0
    return entry(visits[str(path)], reference_ns=round(scale * reference_ns))


def _same_machine(table: LatencyTable) -> None:
    here, there = read_host(LocalTransport()), table.setup.host
    if (here.cpu, here.machine) != (there.cpu, there.machine):
        msg = (
            f"Table {table.name} was measured on {there.cpu}, this is {here.cpu}; "
            f"measure one here with: hwnat profile --device host-{table.setup.target} "
            f"--space {table.space} --classes {table.classes}"
        )
        raise TableMismatchError(msg)


def _load(table: LatencyTable, keys: Sequence[str], *, cache: Path) -> dict[str, Session]:
    """Load the reference model and the networks of `keys`, in this order as a profile does."""
    setup, (name, classes) = table.setup, table.of_space()
    space = get_space(name)
    target = get_target(setup.target)
    models = Models(target=target, folder=cache / target.name)
    wanted = (setup.reference, *keys)
    archs = {key: Arch.from_text(space, key.split("|")[2]) for key in wanted}
    sources = {k: a.ops(classes=classes, batch=setup.batch) for k, a in archs.items()}
    models.export(sources, progress=_silent)
    return {key: models.load(key, threads=setup.threads)[0] for key in wanted}


def _visit_all(table: LatencyTable, sessions: dict[str, Session]) -> dict[str, list[Measurement]]:
    """Visit every session but the reference in shuffled rounds."""
    setup, reference = table.setup, sessions[table.setup.reference]
    subjects = tuple(key for key in sessions if key != setup.reference)
    visits: dict[str, list[Measurement]] = {key: [] for key in subjects}
    conditions = ConditionsReader(LocalTransport())
    rounds = shuffled_rounds(subjects, table.timed_as()[0].rounds, rng=np.random.default_rng(0))
    with pinned(choose_cores(setup.affinity or "auto", threads=setup.threads)):
        for round_, key in rounds:
            visits[key].append(
                visit(
                    key,
                    sessions[key],
                    reference,
                    setup=setup,
                    round_=round_,
                    conditions=conditions,
                )
            )
    return visits


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
    del stage, done, total
