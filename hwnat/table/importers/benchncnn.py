"""The output of ncnn's `benchncnn`: whole networks in milliseconds, printed on stderr.

It does not time operators, so it cannot become a table and has no `Importer`.
"""

import re
from typing import Final

from hwnat.errors import DataError
from hwnat.table.importers.base import NetworkTotal, Source
from hwnat.table.importers.values import to_ns

_LOOPS: Final = re.compile(r"loop_count = [1-9]\d{0,8}", re.ASCII)
_RESULT: Final = re.compile(r"(\S+) +min = +(\S+) +max = +(\S+) +avg = +(\S+)")


def read_benchncnn(source: Source) -> tuple[NetworkTotal, ...]:
    """Return the networks of an output, in the order printed.

    Raises:
        DataError: the output is truncated or from another tool, has no networks or has one twice,
            or an average is not between minimum and maximum.
    """
    lines = source.text.split("\n")
    if not any(map(_LOOPS.fullmatch, map(str.strip, lines))):
        msg = f"{source.name}: no line 'loop_count = N'; is it an output of benchncnn?"
        raise DataError(msg)
    if lines[-1]:
        msg = f"{source.at(len(lines))}: the line has no end; get the whole output of benchncnn."
        raise DataError(msg)
    networks: dict[str, NetworkTotal] = {}
    for line, text in enumerate(lines, 1):
        if " = " not in text or "min" not in text:
            continue
        where = source.at(line)
        result = _RESULT.fullmatch(text.strip())
        if result is None:
            msg = f"{where}: expected 'NAME min = A max = B avg = C', found {text[:80]!r}."
            raise DataError(msg)
        name, *times = result.groups()
        least_ns, most_ns, mean_ns = (to_ns(ms, "ms", where=f"{where}: {name}") for ms in times)
        if not least_ns <= mean_ns <= most_ns or name in networks:
            state = "comes twice" if name in networks else "has an average outside min to max"
            msg = f"{where}: network '{name}' {state}. Get the whole output of benchncnn."
            raise DataError(msg)
        networks[name] = NetworkTotal(name=name, keys=(), measured_ns=mean_ns)
    if not networks:
        msg = f"{source.name}: no network was timed; get the whole output of benchncnn."
        raise DataError(msg)
    return tuple(networks.values())
