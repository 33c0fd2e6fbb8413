"""Connects to a device, checks its identity and installs its runner."""

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
    """How often a device is polled, and how long it works by itself.

    Attributes:
        patience_s: how long to wait for a lost link.
        poll_s: longest pause between two polls of a working device.
        block_s: how long the visits of a block should take; the first block is shorter.
        first: number of visits in the first block.
        limit_s: time limit of each process.
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
        spec: the device file.
        bare: a link that fails at once when the connection is lost.
        link: the same link, which waits until the connection is back.
        probe: the working folder of the device, and what the device can do there.
        machine: description of the device.
        runner: the program that times models on the device.
        versions: name and version of the runtime, and version of the runner.
        clocks: whether the device holds its clocks while this command holds the device.
        governor: the governor of the device file, if the device accepts it.
        affinity: the cores that the runner is pinned to; empty if it is not pinned.
        pin: words in front of a command that pin it to these cores.
        pace: how often the device is polled.
        tell: called with messages for the user.
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
    """Connect to a device and install its runner; settings are changed last.

    Raises:
        UsageError: the device has no runner, is not the model that its file describes, or lacks
            cores that its file names.
        DeviceError: the device cannot be reached, or the runner does not work on it.
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
            # A missing runner must be reported before the screen is switched off.
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
    """Put the first of `names` in front of a message that contains none of them."""
    known = any(re.search(rf"\b{re.escape(name)}\b", words) for name in names)
    return words if known else f"Device {names[0]}: {words}"
