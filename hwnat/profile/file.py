"""Latency of files and networks, measured as a table's networks were and on the table's scale."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import get_args

import numpy as np

from hwnat.errors import TableMismatchError
from hwnat.profile.conditions import (
    ConditionsReader,
    choose_cores,
    may_run_realtime,
    pinned,
    read_host,
)
from hwnat.profile.models import Models, Progress, bound
from hwnat.profile.paired import shuffled_rounds, visit_all
from hwnat.records.arch import Arch
from hwnat.records.device import Precision
from hwnat.records.measurement import Measurement, network_key
from hwnat.records.space import get_space
from hwnat.table.build import entry
from hwnat.table.entry import Entry
from hwnat.table.lookup import LatencyTable
from hwnat.targets.base import Session, Target, get_target
from hwnat.transport.local import LocalTransport


def time_file(path: Path, table: LatencyTable, *, cache: Path) -> Entry:
    """Time a file in alternation with the reference model of `table`.

    The ratio of two models moves by some percent from process to process, with where their memory
    lies. So the networks of the table's calibration and validation are timed too, and what they
    have moved by in the median is divided out.

    Args:
        path: a file that the table's target can load.
        table: says runtime, threads, protocol and reference model, and the latter's latency.
        cache: folder of exported models; what the table needs is written there if it is absent.

    Returns:
        Nanoseconds on the table's scale, comparable with its predictions.

    Raises:
        TableMismatchError: the table was measured on another machine, or not by hwnat.
    """
    return _on_scale(table, files=[path], cache=cache)[str(path)]


def time_networks(
    genomes: Sequence[str],
    table: LatencyTable,
    *,
    cache: Path,
    progress: Progress | None = None,
) -> list[Entry]:
    """Time networks of a table's space as `time_file` does a file.

    Args:
        genomes: of the networks, in their text form.
        table: says all the rest.
        cache: folder of exported models.
        progress: told about every model exported and every visit made.

    Raises:
        TableMismatchError: the table was measured on another machine.
    """
    keys = [_key(table, each) for each in genomes]
    found = _on_scale(table, networks=keys, cache=cache, tell=progress)
    return [found[key] for key in keys]


def _key(table: LatencyTable, genome: str) -> str:
    space, classes = table.of_space()
    return network_key(space, genome, classes=classes, batch=table.setup.batch)


def _on_scale(
    table: LatencyTable,
    *,
    files: Sequence[Path] = (),
    networks: Sequence[str] = (),
    cache: Path,
    tell: Progress | None = None,
) -> dict[str, Entry]:
    """Time files and networks beside those the table knows, and undo what those moved by."""
    _, reference_ns = table.timed_as()
    table.of_space()
    _same_machine(table)
    networks_known = (*table.calibration.networks, *table.validation)
    known = {_key(table, each.genome): each for each in networks_known}
    keys = tuple(dict.fromkeys((*known, *networks)))
    models = _exported(table, keys, cache=cache, tell=tell or _silent)
    visits = _visit_all(table, models, keys, files, tell=tell or _silent)
    found = {key: entry(each, reference_ns=reference_ns) for key, each in visits.items()}
    shifts = [each.measured_ns / found[key].p50_ns for key, each in known.items()]
    scale = median(shifts) if shifts else 1.0
    return {
        key: entry(each, reference_ns=round(scale * reference_ns)) for key, each in visits.items()
    }


def _target(table: LatencyTable) -> Target:
    """Return the target whose files a table's are."""
    held = table.setup.precision
    precision = next((each for each in get_args(Precision) if each == held), None)
    if precision is None:
        msg = f"Table {table.name} is of {held} models, which nothing here writes; it cannot be "
        raise TableMismatchError(msg + "timed again.")
    return get_target(table.setup.target, precision=precision)


def _same_machine(table: LatencyTable) -> None:
    here, there = read_host(LocalTransport()), table.setup.host
    if (here.cpu, here.machine) != (there.cpu, there.machine):
        msg = (
            f"Table {table.name} was measured on {there.cpu}, this is {here.cpu}; "
            f"measure one here with: hwnat profile --device host-{table.setup.target} "
            f"--space {table.space} --classes {table.classes}"
        )
        raise TableMismatchError(msg)


def _exported(table: LatencyTable, keys: Sequence[str], *, cache: Path, tell: Progress) -> Models:
    """Write the files of the reference model and of the networks of `keys`."""
    setup, (name, classes) = table.setup, table.of_space()
    space, target = get_space(name), _target(table)
    models = Models(target=target, folder=cache / target.name)
    archs = {key: Arch.from_text(space, key.split("|")[2]) for key in (setup.reference, *keys)}
    sources = {k: a.ops(classes=classes, batch=setup.batch) for k, a in archs.items()}
    models.export(sources, progress=tell)
    return models


def _visit_all(
    table: LatencyTable,
    models: Models,
    keys: Sequence[str],
    files: Sequence[Path],
    *,
    tell: Progress,
) -> dict[str, list[Measurement]]:
    """Visit networks and files in shuffled rounds, loaded in that order as a profile does."""
    setup, rounds = table.setup, table.timed_as()[0].rounds
    paths = {str(path): path for path in files}

    def load(subject: str) -> tuple[Session, int]:
        if subject not in paths:
            return models.load(subject, threads=setup.threads)
        path = paths[subject]
        session = bound(models.target, path, threads=setup.threads, seed=0)
        return session, path.stat().st_size

    visits: dict[str, list[Measurement]] = {key: [] for key in (*keys, *paths)}
    planned = list(shuffled_rounds(tuple(visits), rounds, rng=np.random.default_rng(0)))
    cores = choose_cores(setup.affinity or "auto", threads=setup.threads)
    with pinned(cores, realtime=setup.realtime and may_run_realtime()):
        measured = visit_all(
            planned,
            load=load,
            setup=setup,
            rounds=rounds,
            conditions=ConditionsReader(LocalTransport()),
        )
        for count, each in enumerate(measured, start=1):
            visits[each.subject].append(each)
            tell("measure", count, len(planned))
    return visits


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
    del stage, done, total
