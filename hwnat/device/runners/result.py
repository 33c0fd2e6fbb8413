"""Parse the output of `hwnat-run` and the agent; a damaged output is refused whole.

    hwnat-run 1
    runtime litert 2.3.0
    model_ns 123 456
    reference_ns 100 101
    disturbed 3
    end 4 780

The last line has the count of all numbers in both series and their sum. `reference_ns` is absent
without a reference; a program that timed nothing ends with 0. The output of `--version` may have a
line `source` with a hash of the program's source.
"""

import re
from typing import Final

from hwnat.device.runners.base import Timed
from hwnat.errors import DataError
from hwnat.transport.words import printable

#: First line of the format; a later format will have another number.
HEADER: Final = "hwnat-run 1"

_NUMBER: Final = "[1-9][0-9]{0,17}"
_HEAD: Final = rf"{HEADER}\nruntime (\w[\w.+-]{{0,63}}) (\w[\w.+-]{{0,63}})\n"
_VERSION: Final = re.compile(rf"{_HEAD}(?:source ([0-9a-z]{{1,64}})\n)?end 0(?: 0)?\n", re.ASCII)
_RESULT: Final = re.compile(
    rf"{_HEAD}model_ns((?: {_NUMBER})+)\n(?:reference_ns((?: {_NUMBER})+)\n)?"
    rf"disturbed (0|{_NUMBER})\nend ({_NUMBER})(?: ({_NUMBER}))?\n",
    re.ASCII,
)


def read_result(output: str, *, where: str) -> tuple[Timed, str, str]:
    """Read the output of one process that timed a model.

    Args:
        output: stdout, complete and unchanged.
        where: place to name in messages.

    Returns:
        The timings, the runtime's name and its version.

    Raises:
        DataError: the output is cut off, damaged or from another program.
    """
    match = _RESULT.fullmatch(output)
    if match is None:
        raise _refused(output, where)
    name, version, model, reference, disturbed, count, total = match.groups()
    samples, others = (tuple(map(int, (words or "").split())) for words in (model, reference))
    if len(samples) + len(others) != int(count):
        msg = (
            f"{where}: {HEADER} printed {len(samples)} + {len(others)} numbers but counts "
            f"{count}. Run the command again."
        )
        raise DataError(msg)
    # Programs of this package always print the sum, because only it reveals a changed digit.
    if total is not None and sum(samples) + sum(others) != int(total):
        msg = f"{where}: the numbers of {HEADER} do not add up to {total}. Run the command again."
        raise DataError(msg)
    timed = Timed(samples_ns=samples, reference_ns=others, disturbed=int(disturbed))
    return timed, name, version


def read_version(output: str, *, where: str) -> tuple[str, str, str | None]:
    """Return runtime name, runtime version and source hash from the output of `--version`.

    Raises:
        DataError: the output is cut off, damaged or from another program.
    """
    match = _VERSION.fullmatch(output)
    if match is None:
        raise _refused(output, where)
    return match[1], match[2], match[3]


def _refused(output: str, where: str) -> DataError:
    """Return the error for an output in another format."""
    lines = output.splitlines()
    if not lines:
        return DataError(f"{where}: it printed nothing. Run the command again.")
    if lines[0] != HEADER:
        msg = (
            f"{where}: this is not the output of {HEADER}. Install the program again with: hwnat "
            f"device setup. The output begins: {printable(output[:200])}"
        )
        return DataError(msg)
    if not output.endswith("\n") or not lines[-1].startswith("end "):
        return DataError(f"{where}: the output of {HEADER} is cut off. Run the command again.")
    bad = printable(output, limit=200)
    return DataError(f"{where}: the output of {HEADER} is damaged; run it again. It ends: {bad}")
