"""Times models on a device elsewhere, by a program there."""

import posixpath
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Final, Literal

from hwnat.device.cores import choose_cluster_cores
from hwnat.device.probe import probe_machine, read_serial
from hwnat.device.runners.base import Answering, Runner, get_runner
from hwnat.device.runners.setup import tools_folder
from hwnat.errors import DeviceError, TransientDeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.records.measurement import Measurement, Setup
from hwnat.remote.depot import Depot
from hwnat.remote.lease import held
from hwnat.remote.parity import Answers
from hwnat.remote.patient import PatientTransport
from hwnat.remote.pin import pin_words
from hwnat.remote.session import Pace, Session
from hwnat.remote.visits import Maker, Queue, due_jobs
from hwnat.targets.visits import Due, Files, Tell, Timer
from hwnat.transport.base import Probe, Transport, connect
from hwnat.transport.shell import script

#: Folder under the device's working folder, with one for each setup.
JOBS: Final = "jobs"


@contextmanager
def device_timer(
    spec: DeviceSpec, *, tell: Tell, pace: Pace | None = None
) -> Iterator["DeviceTimer"]:
    """Reach a device, bring its runner there and yield what times models with it.

    Raises:
        UsageError: it has no runner, or not the cores that its file names.
        DeviceError: it cannot be reached, or the runner does not work there.
    """
    runner = get_runner(spec)
    pace = pace or Pace()
    with closing(connect(spec)) as link:
        probe = link.probe()
        if not probe.executable:
            msg = f"No program starts in {probe.workdir} of {probe.address}: set another workdir."
            raise UsageError(msg)
        try:
            machine = probe_machine(link)
            if spec.transport != "local":  # of this machine there is one only
                host = replace(machine.host, serial=read_serial(link))
                machine = replace(machine, host=host)
        except DeviceError as odd:
            raise type(odd)(_named(str(odd), spec.name, probe.address)) from odd
        cores = choose_cluster_cores(machine.clusters, spec.affinity, threads=spec.threads)
        pin = pin_words(link, cores)
        if cores and not pin:
            if spec.affinity != "auto":
                msg = f"{probe.address} cannot keep a program on cores {list(cores)}: install "
                raise UsageError(msg + "taskset there, or leave `affinity` out.")
            tell(f"{probe.address} has no taskset that works: models run on any core.")
        with held(link, spec, machine, folder=probe.workdir, tell=tell) as lease:
            tools = tools_folder(probe.workdir)
            versions = runner.install(link, folder=tools, machine=machine)
        yield DeviceTimer(
            device=spec,
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


@dataclass(slots=True, kw_only=True)
class DeviceTimer:
    """A device with its runner; see `hwnat.targets.visits.Timer`.

    Attributes:
        bare: the link itself; `link` waits for it when it is lost.
        versions: of the runtime, name and number, and of the runner.
        clocks: whether the device holds them while this command has it.
        governor: the one of the device file, if the device has it meanwhile.
        affinity: the cores that `pin`, words before a command, keeps it on.
    """

    device: DeviceSpec
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
    _compared: set[str] = field(default_factory=set)

    def setup(self, *, reference: str, batch: int) -> Setup:
        """Describe the device and its runner; see `Timer.setup`."""
        device = self.device
        runtime, version, runner = self.versions
        return Setup(
            device=device.name,
            host=self.machine.host,
            target=device.target,
            runtime=runtime,
            runtime_version=version,
            threads=device.threads,
            affinity=self.affinity,
            precision=device.precision,
            batch=batch,
            runs=device.protocol.runs,
            warmup=device.protocol.warmup,
            visit_ms=device.protocol.visit_ms,
            reference=reference,
            delegate=device.delegate,
            runner=runner,
            alternation=self.runner.alternation,
            clocks=self.clocks,
            held_governor=self.governor,
        )

    def visits(
        self, due: Sequence[Due], *, files: Files, setup: Setup, rounds: int, kept: bool = True
    ) -> Generator[Measurement, None, None]:
        """Make visits in blocks on the device; see `Timer.visits`.

        What an earlier command left there with this setup is taken over first.
        """
        del rounds  # each visit loads its models anew
        name = setup.id if kept else f"{setup.id}-{token_hex(4)}"
        depot = Depot(self.link, self.probe)
        jobs = posixpath.join(self.probe.workdir, JOBS)
        queue = Queue(due=due_jobs(due, setup), tell=self.tell)
        session = Session(
            link=self.link,
            bare=self.bare,
            spec=self.device,
            machine=self.machine,
            workdir=self.probe.workdir,
            folder=posixpath.join(jobs, name),
            maker=Maker(
                runner=self.runner,
                depot=depot,
                files=files,
                setup=setup,
                pin=self.pin,
                tools=tools_folder(self.probe.workdir),
                name=self.device.name,
                gate=self.device.gate,
            ),
            queue=queue,
            pace=self.pace,
            tell=self.tell,
            first=lambda: self._begin(depot, files, setup, jobs),
            last=lambda: None if kept else self._sweep(jobs),
        )
        try:
            yield from session.visits()
        except DeviceError as failed:
            goes_on = isinstance(failed, TransientDeviceError)
            held = f"{queue.made} of {len(due)} visits are kept"
            held += ", and the device goes on with its block" if goes_on else ""
            held = f"{held}: the same command, run again, measures the rest."
            if not kept:
                held = "Then run the same command again."
            msg = f"{_named(str(failed), self.device.name, self.probe.address)} {held}"
            raise type(failed)(msg) from failed

    def _begin(self, depot: Depot, files: Files, setup: Setup, jobs: str) -> None:
        self._sweep(jobs)  # an earlier command may have been killed
        self._compare(depot, files, setup)

    def _sweep(self, jobs: str) -> None:
        """Delete what is not kept; only who holds the device knows that nobody needs it."""
        self.link.run(script("remote/sweep", jobs=jobs), timeout_s=60)

    def _compare(self, depot: Depot, files: Files, setup: Setup) -> None:
        """See once that the device computes what this machine does.

        Raises:
            DeviceError: it does not.
        """
        if setup.reference in self._compared or not isinstance(self.runner, Answering):
            return
        model = files.path(setup.reference)
        depot.place([model])
        answers = Answers(
            link=self.link,
            runner=self.runner,
            device=self.device,
            tools=tools_folder(self.probe.workdir),
            scratch=posixpath.join(self.probe.workdir, JOBS),
            pin=self.pin,
        )
        answers.require(files.load(setup.reference, threads=setup.threads)[0], depot.path(model))
        self._compared.add(setup.reference)


def _named(words: str, *names: str) -> str:
    """Say which device is meant, the first of `names`, where words have none of them."""
    known = any(re.search(rf"\b{re.escape(each)}\b", words) for each in names)
    return words if known else f"Device {names[0]}: {words}"


_CHECK: type[Timer] = DeviceTimer
