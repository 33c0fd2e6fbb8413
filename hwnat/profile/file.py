"""Time files and networks as a table's networks were timed, on the table's scale."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import get_args

from hwnat.device.conditions import read_host
from hwnat.errors import DataError, TableMismatchError, UsageError
from hwnat.profile.models import ExportedModels, ModelsAndFiles, Progress
from hwnat.profile.rounds import make_visits
from hwnat.profile.timer import is_here, open_timer, target_of
from hwnat.records.arch import Arch
from hwnat.records.device import DeviceSpec, Precision, named_device
from hwnat.records.measurement import Host, Setup, network_key
from hwnat.records.space import get_space
from hwnat.table.build import entry
from hwnat.table.entry import Entry
from hwnat.table.lookup import LatencyTable
from hwnat.targets.visits import Tell
from hwnat.transport.local import LocalTransport


def time_file(path: Path, table: LatencyTable, *, cache: Path) -> Entry:
    """Time a file in alternation with the reference model of `table`.

    The ratio of two models changes by a few percent between processes, with their places in memory.
    So the networks of the table's calibration and validation are timed too, and their median change
    is divided out.

    Args:
        path: a file that the table's target can load.
        table: gives runtime, threads, protocol, and the reference model with its latency.
        cache: folder of exported models; missing models of the table are written there.

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
    tell: Tell | None = None,
) -> list[Entry]:
    """Time networks from a table's space as `time_file` times a file.

    Args:
        genomes: the networks, in their text form.
        table: gives everything else.
        cache: folder of exported models.
        progress: called after each exported model and each visit.
        tell: called with a message while waiting for a remote device.

    Raises:
        TableMismatchError: the table was measured on another machine.
    """
    keys = [_key(table, genome) for genome in genomes]
    entries = _on_scale(table, networks=keys, cache=cache, report=progress, tell=tell)
    return [entries[key] for key in keys]


def _key(table: LatencyTable, genome: str) -> str:
    space, classes = table.of_space()
    return network_key(space, genome, classes=classes, batch=table.setup.batch)


def why_untimed(table: LatencyTable) -> str | None:
    """Return why files cannot be timed on a table's scale from this machine; None if they can.

    Checks this machine or the file of a remote device, without contacting it. A different device is
    refused when a file is timed.
    """
    if any(entry.provenance == "estimated" for entry in table.entries.values()):
        return None
    try:
        table.timed_as()
        device = _device_of(table)
        if is_here(device):
            _same_machine(table, read_host(LocalTransport()))
    except (DataError, UsageError) as refused:
        return str(refused)
    return None


def _on_scale(
    table: LatencyTable,
    *,
    files: Sequence[Path] = (),
    networks: Sequence[str] = (),
    cache: Path,
    report: Progress | None = None,
    tell: Tell | None = None,
) -> dict[str, Entry]:
    """Time files and networks with the table's own, and divide out the change of those."""
    _, reference_ns = table.timed_as()
    table.of_space()
    networks_known = (*table.calibration.networks, *table.validation)
    known = {_key(table, check.genome): check for check in networks_known}
    keys = tuple(dict.fromkeys((*known, *networks)))
    device = _device_of(table)
    target = target_of(device)
    with open_timer(device, target, tell=tell) as timer:
        setup = timer.setup(reference=table.setup.reference, batch=table.setup.batch)
        _same(table, setup)
        models = ModelsAndFiles(
            models=ExportedModels(target=target, folder=cache / target.name),
            files={str(path): path for path in files},
        )
        _export(table, models.models, keys, report=report or _silent)
        made = make_visits(
            (*keys, *models.files),
            timer=timer,
            setup=setup,
            files=models,
            rounds=table.timed_as()[0].rounds,
            report=report or _silent,
        )
    unshifted = {key: entry(visits, reference_ns=reference_ns) for key, visits in made.items()}
    shifts = [check.measured_ns / unshifted[key].p50_ns for key, check in known.items()]
    scale = median(shifts) if shifts else 1.0
    return {
        key: entry(visits, reference_ns=round(scale * reference_ns)) for key, visits in made.items()
    }


def _device_of(table: LatencyTable) -> DeviceSpec:
    """Return the device with the runtime, cores and protocol of a table.

    Raises:
        TableMismatchError: no target writes models with the table's precision.
        UsageError: it is a remote device and this machine lacks its device file.
    """
    setup = table.setup
    precision = next((known for known in get_args(Precision) if known == setup.precision), None)
    if precision is None:
        msg = (
            f"Table {table.name} holds latencies of {setup.precision} models, which no target "
            "writes, so files cannot be timed on its scale."
        )
        raise TableMismatchError(msg)
    if setup.runner is None:
        device = DeviceSpec(name=setup.device, transport="local", target=setup.target)
    else:
        device = named_device(setup.device, where=f"Table {table.name}")
    return replace(
        device,
        target=setup.target,
        threads=setup.threads,
        affinity=setup.affinity or "auto",
        priority="auto" if setup.realtime else "normal",
        precision=precision,
        protocol=table.timed_as()[0],
        delegate=setup.delegate,
    )


def _same(table: LatencyTable, here: Setup) -> None:
    """Refuse a device or program other than that of `table`.

    Raises:
        TableMismatchError: the table was measured with a different one.
    """
    _same_machine(table, here.host)
    setups = (table.setup, here)
    if table.setup.runner is not None:
        was, now = (f"{setup.runtime} {setup.runtime_version}, {setup.runner}" for setup in setups)
        if was != now:
            raise _other(table, was, now, "another runtime")
    was, now = (" ".join(filter(None, (setup.clocks, setup.held_governor))) for setup in setups)
    if was != now:
        raise _other(table, was, now, "other clocks")


def _same_machine(table: LatencyTable, here: Host) -> None:
    """Refuse a machine other than that of `table`.

    Raises:
        TableMismatchError: the table was measured with a different one.
    """
    there = table.setup.host
    was, now = there.soc or there.cpu, here.soc or here.cpu
    if (there.cpu, there.machine, there.soc) != (here.cpu, here.machine, here.soc):
        raise _other(table, was, now, "another machine")
    if not _same_unit(there, here):
        reason = "another device of its kind"
        raise _other(table, there.board or was, here.board or now, reason)


def _other(
    table: LatencyTable, was: str | None, now: str | None, reason: str
) -> TableMismatchError:
    return TableMismatchError(
        f"Table {table.name} was measured on {was}, this is {now}, {reason}; measure one here "
        f"with: hwnat profile --device {_file_of(table)} --space {table.space} "
        f"--classes {table.classes}"
    )


def _same_unit(known: Host, here: Host) -> bool:
    """Whether both records can be of one device; older tables record fewer facts."""
    pairs = ((known.board, here.board), (known.serial, here.serial))
    return all(was in (None, now) for was, now in pairs)


def _file_of(table: LatencyTable) -> str:
    """Return the device file to measure with: this machine's or the table's."""
    setup = table.setup
    return setup.device if setup.runner is not None else f"host-{setup.target}"


def _export(
    table: LatencyTable, models: ExportedModels, keys: Sequence[str], *, report: Progress
) -> None:
    """Write the files of the reference model and the networks in `keys`."""
    setup, (name, classes) = table.setup, table.of_space()
    space = get_space(name)
    archs = {key: Arch.from_text(space, key.split("|")[2]) for key in (setup.reference, *keys)}
    sources = {k: a.ops(classes=classes, batch=setup.batch) for k, a in archs.items()}
    models.export(sources, progress=report)


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
    del stage, done, total
