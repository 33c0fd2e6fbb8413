"""Timers: this process, or a program on a remote device."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass

from hwnat.device.conditions import (
    ConditionsReader,
    choose_cores,
    may_run_realtime,
    pinned,
    read_host,
    shared_cores,
)
from hwnat.profile.paired import visit_all
from hwnat.records.device import DeviceSpec
from hwnat.records.measurement import Measurement, Setup
from hwnat.remote.profile import device_timer
from hwnat.targets.base import Session, Target, get_target
from hwnat.targets.visits import Due, Files, Tell, Timer
from hwnat.transport.base import Transport, connect


def target_of(device: DeviceSpec) -> Target:
    """Return the target that exports a device's models and runs them on this machine.

    Raises:
        UsageError: there is none, or it lacks the device's precision or delegate.
    """
    # The runner of a remote device selects its accelerator.
    delegate = device.delegate if is_here(device) else None
    return get_target(device.target, precision=device.precision, delegate=delegate)


def is_here(device: DeviceSpec) -> bool:
    """Whether this process times the device's models itself."""
    return device.transport == "local" and device.runner is None


def open_timer(
    device: DeviceSpec, target: Target, *, tell: Tell | None = None
) -> AbstractContextManager[Timer]:
    """Return a timer for a device; enter it before use.

    Raises:
        UsageError: the device's target, cores or runner are not available.
        DeviceError: the device cannot be reached.
    """
    if is_here(device):
        return _here(device, target, tell or (lambda _: None))
    return device_timer(device, tell=tell or (lambda _: None))


@contextmanager
def _here(device: DeviceSpec, target: Target, tell: Tell) -> Iterator["ThisProcess"]:
    with closing(connect(device)) as link:
        yield ThisProcess(device=device, target=target, link=link, tell=tell)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThisProcess:
    """Times models in this process and loads each once or twice."""

    device: DeviceSpec
    target: Target
    link: Transport
    tell: Tell = lambda _: None

    def setup(self, *, reference: str, batch: int) -> Setup:
        """Describe this machine and its runtime; see `Timer.setup`."""
        device = self.device
        runtime, version = self.target.runtime()
        cores = choose_cores(device.affinity, threads=device.threads)
        if (shared := shared_cores(device.threads, cores)) is not None:
            self.tell(shared)
        return Setup(
            device=device.name,
            host=read_host(self.link),
            target=device.target,
            runtime=runtime,
            runtime_version=version,
            threads=device.threads,
            affinity=cores,
            precision=device.precision,
            batch=batch,
            runs=device.protocol.runs,
            warmup=device.protocol.warmup,
            visit_ms=device.protocol.visit_ms,
            reference=reference,
            realtime=device.priority == "auto" and may_run_realtime(),
            delegate=device.delegate,
        )

    def visits(
        self, due: Sequence[Due], *, files: Files, setup: Setup, rounds: int, kept: bool = True
    ) -> Generator[Measurement, None, None]:
        """Make visits in the given order; see `Timer.visits`."""
        del kept

        def load(subject: str) -> tuple[Session, int]:
            return files.load(subject, threads=setup.threads)

        with pinned(setup.affinity, realtime=setup.realtime, tell=self.tell):
            yield from visit_all(
                due,
                load=load,
                setup=setup,
                rounds=rounds,
                conditions=ConditionsReader(self.link),
            )


_CHECK: type[Timer] = ThisProcess
