"""How often a runtime's profiler runs a model, and the time of a kernel from these runs."""

import time
from collections.abc import Sequence
from statistics import fmean, median
from typing import ClassVar, Final

_LEAST, _MOST, _SECONDS = 5, 50, 0.3
#: Durations above this many medians, plus so many ns, are of interrupted runs.
_FACTOR: Final = 3
_MARGIN_NS: Final = 3000


class Runs:
    """Counts the runs of a profile: a warm-up, then runs for a time, within two bounds."""

    #: Runs that are not counted; the first is slower because it allocates memory.
    WARMUP: ClassVar[int] = 2

    def __init__(self) -> None:
        self._done, self._began = 0, 0.0

    @property
    def counted(self) -> int:
        """Number of runs after the warm-up."""
        return max(0, self._done - self.WARMUP)

    def again(self) -> bool:
        """Return whether to run once more."""
        now = time.monotonic()
        if self._done == self.WARMUP:
            self._began = now
        late = self.counted >= _MOST or now - self._began >= _SECONDS
        if self.counted >= _LEAST and late:
            return False
        self._done += 1
        return True


def profiled_ns(durations: Sequence[float], *, error_ns: float = 0.0) -> float:
    """Return the mean of a kernel's durations in ns, without interrupted runs.

    Profilers report whole microseconds, so a median would be as coarse, while the mean of many runs
    is finer.

    Args:
        durations: duration of each run in ns.
        error_ns: largest error of a single duration.
    """
    limit = _FACTOR * median(durations) + max(_MARGIN_NS, error_ns)
    return fmean(duration for duration in durations if duration <= limit)
