"""Reach a device, check that it is the one meant, and bring its runner there."""

import posixpath
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Final, Literal

from hwnat.device.cores import choose_cluster_cores, pin_words
from hwnat.device.identity import require_same
from hwnat.device.probe import probe_machine, read_serial
from hwnat.device.runners.base import Runner, get_runner
from hwnat.device.runners.setup import tools_folder
from hwnat.errors import DeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.records.measurement import Setup
from hwnat.remote.hold import held, prepare
from hwnat.targets.visits import Tell
from hwnat.transport.base import Probe, Transport, connect
from hwnat.transport.patient import PatientTransport

#: Folder below the device's working folder, with one folder for each setup.
JOBS: Final = "jobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a device is asked, and how long it works on its own.

    Attributes:
        patience_s: how long a lost link is waited for.
        poll_s: longest pause between two looks at a working device.
        block_s: how long the visits of a block should take; the first block is short.
        first: visits of the first block.
        limit_s: time limit of a process.
    """

    patience_s: float = 300.0
    poll_s: float = 1.5
    block_s: float = 40.0
    first: int = 8
    limit_s: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A device that is ready to time models.

    Attributes:
        spec: its device file.
        bare: the link itself; `link` waits when it is lost.
        probe: its working folder, and what can be done there.
        machine: what it is.
        versions: name and version of the runtime, and version of the runner.
        clocks: whether it holds its clocks while this command has it.
        governor: the one of the device file, if the device takes it.
        affinity: the cores that `pin`, words before a command, keeps the runner on.
        tell: is given messages for the user.
    """

    spec: DeviceSpec
    bare: Transport
    link: Transport
    probe: Probe
    machine: Machine
    runner: Runner
    versions: tuple[str, str, str]
    clocks: Literal["free", "fixed"]
    governor: str | None
    affinity: tuple[int, ...]
    pin: tuple[str, ...]
    pace: Pace
    tell: Tell

    @property
    def tools(self) -> str:
        """Folder of the runner's programs on the device."""
        return tools_folder(self.probe.workdir)

    @property
    def jobs(self) -> str:
        """Folder of all setups on the device."""
        return posixpath.join(self.probe.workdir, JOBS)

    def setup(self, *, reference: str, batch: int) -> Setup:
        """Describe the device and its runner; see `Timer.setup`."""
        spec = self.spec
        runtime, version, runner = self.versions
        return Setup(
            device=spec.name,
            host=self.machine.host,
            target=spec.target,
            runtime=runtime,
            runtime_version=version,
            threads=spec.threads,
            affinity=self.affinity,
            precision=spec.precision,
            batch=batch,
            runs=spec.protocol.runs,
            warmup=spec.protocol.warmup,
            visit_ms=spec.protocol.visit_ms,
            reference=reference,
            delegate=spec.delegate,
            runner=runner,
            alternation=self.runner.alternation,
            clocks=self.clocks,
            held_governor=self.governor,
        )


@contextmanager
def reached(spec: DeviceSpec, *, tell: Tell, pace: Pace | None = None) -> Iterator[Reached]:
    """Reach a device and bring its runner there; settings are changed last.

    Raises:
        UsageError: it has no runner, is another model than its file says, or lacks the cores that
            its file names.
        DeviceError: it cannot be reached, or the runner does not work there.
    """
    runner, pace = get_runner(spec), pace or Pace()
    with closing(connect(spec)) as link:
        probe = link.probe()
        if not probe.executable:
            msg = f"No program starts in {probe.workdir} of {probe.address}: set another workdir."
            raise UsageError(msg)
        try:
            machine = probe_machine(link)
            if spec.transport != "local":  # there is only one of this machine
                host = replace(machine.host, serial=read_serial(link))
                machine = replace(machine, host=host)
        except DeviceError as odd:
            raise type(odd)(naming(str(odd), spec.name, probe.address)) from odd
        require_same(spec, machine)
        cores = choose_cluster_cores(machine.clusters, spec.affinity, threads=spec.threads)
        pin = pin_words(link, cores)
        if cores and not pin:
            if spec.affinity != "auto":
                msg = (
                    f"{probe.address} cannot keep a program on cores {list(cores)}: install "
                    "taskset there, or remove `affinity` from the device file."
                )
                raise UsageError(msg)
            tell(f"{probe.address} has no working taskset: models run on any core.")
        with held(link, spec, None, folder=probe.workdir, tell=tell) as lease:
            # A runner that is missing must be reported before the screen goes dark.
            versions = runner.install(link, folder=tools_folder(probe.workdir), machine=machine)
            prepare(lease, spec, machine)
        yield Reached(
            spec=spec,
            bare=link,
            link=PatientTransport(link, name=probe.address, patience_s=pace.patience_s, tell=tell),
            probe=probe,
            machine=machine,
            runner=runner,
            versions=versions,
            clocks=lease.clocks,
            governor=lease.governor,
            affinity=cores if pin else (),
            pin=pin,
            pace=pace,
            tell=tell,
        )


def naming(words: str, *names: str) -> str:
    """Name the device, the first of `names`, in a message that has none of them."""
    known = any(re.search(rf"\b{re.escape(name)}\b", words) for name in names)
    return words if known else f"Device {names[0]}: {words}"
