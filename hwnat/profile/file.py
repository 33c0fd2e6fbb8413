"""Latency of an exported file, measured as a table's networks were and on the table's scale."""

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
from hwnat.table.lookup import Entry, LatencyTable
from hwnat.targets.base import get_target
from hwnat.transport.base import get_transport


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
    setup, space = table.setup, get_space(table.space)
    target, link = get_target(setup.target), get_transport("local")
    here = read_host(link)
    if (here.cpu, here.machine) != (setup.host.cpu, setup.host.machine):
        msg = (
            f"Table {table.name} was measured on {setup.host.cpu}, this is {here.cpu}; "
            f"measure one here with: hwnat profile --device host-{setup.target} "
            f"--space {table.space} --classes {table.classes}"
        )
        raise TableMismatchError(msg)
    models = Models(target=target, folder=cache / target.name)
    known = {
        network_key(table.space, each.genome, classes=table.classes, batch=setup.batch): each
        for each in table.calibration.networks
    }
    genomes = {key: key.split("|")[2] for key in (setup.reference, *known)}
    models.export(
        {
            key: Arch.from_text(space, genome).ops(classes=table.classes, batch=setup.batch)
            for key, genome in genomes.items()
        },
        progress=_silent,
    )
    sessions = {key: models.load(key, threads=setup.threads)[0] for key in genomes}
    reference = sessions.pop(setup.reference)
    sessions[str(path)] = bound(target, path, threads=setup.threads, seed=0)
    visits: dict[str, list[Measurement]] = {key: [] for key in sessions}
    conditions = ConditionsReader(link)
    rng = np.random.default_rng(0)
    with pinned(choose_cores(setup.affinity or "auto", threads=setup.threads)):
        for round_, key in shuffled_rounds(tuple(sessions), table.protocol.rounds, rng=rng):
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
    found = {key: entry(each, reference_ns=table.reference_ns) for key, each in visits.items()}
    shifts = [each.measured_ns / found[key].p50_ns for key, each in known.items()]
    scale = median(shifts) if shifts else 1.0
    return entry(visits[str(path)], reference_ns=round(scale * table.reference_ns))


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
    del stage, done, total
