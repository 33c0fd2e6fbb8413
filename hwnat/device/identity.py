"""Whether a device is the model that its file describes."""

from fnmatch import fnmatchcase

from hwnat.errors import UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.transport.words import printable


def contradiction(spec: DeviceSpec, machine: Machine) -> str | None:
    """Return how a device contradicts its file, and what to do; None if it does not.

    `board` and `soc` of the file are shell patterns for what the device reports, with or without
    the maker's name; case does not matter. Checks are skipped for values that it does not report.
    """
    for key in ("board", "soc"):
        wanted, reported = getattr(spec, key), getattr(machine.host, key)
        if wanted is None or reported is None or _matches(reported, wanted):
            continue
        return (
            f"Device {spec.name} is described as {key} '{printable(wanted, limit=80)}', but what "
            f"is connected reports '{printable(reported, limit=80)}'. Connect the right one, or "
            f"write a device file for this one under another name; see what it reports with: "
            f"hwnat device probe {spec.name}"
        )
    return None


def require_same(spec: DeviceSpec, machine: Machine) -> None:
    """Refuse a device that is another model than its file describes.

    Raises:
        UsageError: it reports another board or chip.
    """
    problem = contradiction(spec, machine)
    if problem is not None:
        raise UsageError(problem)


def _matches(reported: str, pattern: str) -> bool:
    name, pattern = reported.casefold(), pattern.casefold()
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition(" ")[2], pattern)
