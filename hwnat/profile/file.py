"""Latency of an exported file, measured as a table's networks were and on the table's scale."""

from pathlib import Path

from hwnat.errors import TableMismatchError
from hwnat.profile.conditions import ConditionsReader, choose_cores, pinned, read_host
from hwnat.profile.models import Models, bound
from hwnat.profile.paired import visit
from hwnat.records.arch import Arch
from hwnat.records.space import get_space
from hwnat.table.build import entry
from hwnat.table.lookup import Entry, LatencyTable
from hwnat.targets.base import get_target
from hwnat.transport.base import get_transport


def time_file(path: Path, table: LatencyTable, *, cache: Path) -> Entry:
    """Time a file in alternation with the reference model of `table`.

    Args:
        path: a file that the table's target can load.
        table: says runtime, threads, protocol and reference model, and the latter's latency.
        cache: folder of exported models; the reference is written there if it is absent.

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
    genome = setup.reference.split("|")[2]
    ops = Arch.from_text(space, genome).ops(classes=table.classes, batch=setup.batch)
    models.export({setup.reference: ops}, progress=_silent)
    reference, _ = models.load(setup.reference, threads=setup.threads)
    candidate = bound(target, path, threads=setup.threads, seed=0)
    conditions = ConditionsReader(link)
    with pinned(choose_cores(setup.affinity or "auto", threads=setup.threads)):
        visits = [
            visit(
                str(path.name),
                candidate,
                reference,
                setup=setup,
                round_=round_,
                conditions=conditions,
            )
            for round_ in range(table.protocol.rounds)
        ]
    return entry(visits, reference_ns=table.reference_ns)


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
    del stage, done, total
