"""Errors, ordered by who must act. The command line exits with a class's `exit_code`.

    HwnatError
    ├── GateError              1  a check ran and its answer is no
    ├── UsageError             2  the command, or a file its author wrote, is wrong
    │   └── InfeasibleError    2  the limits exclude every network of the space
    ├── DataError              3  a file is not what it claims to be
    │   ├── TableMismatchError 3  the table belongs to another space, target or schema
    │   └── UncoveredOpError   3  the table lacks an operation; nothing is guessed
    ├── DeviceError            4  the device or its runtime failed
    │   └── TransientDeviceError 4  the link was lost; it may come back by itself
    └── InconclusiveError      5  the measurements do not support an answer

Every message says what happened, where, and what to type next.
"""

from collections.abc import Sequence
from typing import ClassVar


class HwnatError(Exception):
    """Base of everything this package raises on purpose."""

    exit_code: ClassVar[int] = 1


class GateError(HwnatError):
    """A check ran and failed."""

    exit_code = 1


class UsageError(HwnatError):
    """The caller asked for something invalid."""

    exit_code = 2


class InfeasibleError(UsageError):
    """No network of the space can meet the limits that were given."""


class DataError(HwnatError):
    """A file or a value is damaged, truncated, or not what it claims to be."""

    exit_code = 3


class TableMismatchError(DataError):
    """A latency table is used for something it was not measured for."""


class UncoveredOpError(DataError):
    """A latency table has no entry for an operation.

    Args:
        key: canonical key of the missing operation.
        table: name of the table that was asked.
        nearest: the closest keys the table does hold, best first.
        remedy: the command that measures the missing entry.
    """

    def __init__(self, key: str, *, table: str, nearest: Sequence[str], remedy: str) -> None:
        near = f" Nearest measured: {nearest[0]}." if nearest else ""
        super().__init__(f"No latency for {key} in table {table}.{near} Measure it with: {remedy}")
        self.key = key
        self.nearest = tuple(nearest)


class DeviceError(HwnatError):
    """The device, its transport or its runtime did not do what was asked."""

    exit_code = 4


class TransientDeviceError(DeviceError):
    """The device did not answer, or the link was lost; the same call may succeed later.

    What the device printed before is discarded, so a repeated call counts nothing twice.
    """


class InconclusiveError(HwnatError):
    """The data does not support the answer that was asked for."""

    exit_code = 5
