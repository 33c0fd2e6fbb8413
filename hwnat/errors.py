"""Errors, grouped by who must act. The command line exits with the `exit_code` of the class.

    HwnatError
    ├── GateError              1  a check ran and failed
    ├── UsageError             2  the command, or a file that you wrote, is wrong
    │   └── InfeasibleError    2  the limits exclude every network of the space
    ├── DataError              3  a file is not what it claims to be
    │   ├── TableMismatchError 3  the table belongs to another space, target or schema
    │   └── UncoveredOpError   3  the table has no entry for an operation
    ├── DeviceError            4  the device or its runtime failed
    │   └── TransientDeviceError 4  the link was lost and may come back by itself
    └── InconclusiveError      5  the measurements do not support an answer

Every message says what happened, where, and what to type next.
"""

from collections.abc import Sequence
from typing import ClassVar


class HwnatError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code: ClassVar[int] = 1


class GateError(HwnatError):
    """A check ran and failed."""

    exit_code = 1


class UsageError(HwnatError):
    """The caller asked for something invalid."""

    exit_code = 2


class InfeasibleError(UsageError):
    """No network of the space meets the limits."""


class DataError(HwnatError):
    """A file or a value is damaged, truncated, or not what it claims to be."""

    exit_code = 3


class TableMismatchError(DataError):
    """A latency table does not fit the networks, the target or the machine it is used with."""


class UncoveredOpError(DataError):
    """A latency table has no entry for an operation.

    Args:
        key: canonical key of the missing operation.
        table: name of the table.
        nearest: the most similar keys in the table, best first.
        remedy: the command that measures the missing entry.
    """

    def __init__(self, key: str, *, table: str, nearest: Sequence[str], remedy: str) -> None:
        near = f" Nearest measured: {nearest[0]}." if nearest else ""
        super().__init__(f"No latency for {key} in table {table}.{near} Measure it with: {remedy}")
        self.key = key
        self.nearest = tuple(nearest)


class DeviceError(HwnatError):
    """The device, its transport or its runtime failed."""

    exit_code = 4


class TransientDeviceError(DeviceError):
    """The device did not answer, or the link was lost; the same call may succeed later.

    Output that arrived before the error is discarded, so repeating the call counts nothing twice.
    """


class InconclusiveError(HwnatError):
    """The measurements do not support an answer."""

    exit_code = 5
