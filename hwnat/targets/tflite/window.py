"""The window of a convolution along an axis in a TFLite file, and the splitting of wide ones."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from hwnat.targets.base import Floats

#: XNNPACK's x86 depthwise kernels take up to 25 taps; above that, it is 20-60 times slower.
MAX_TAPS: Final = 25


@dataclass(frozen=True, slots=True)
class Window:
    """The window of a convolution along one axis of length `size`, which it maps to `out`."""

    size: int
    out: int
    kernel: int
    stride: int
    pad: int
    dilation: int = 1

    @property
    def overhang(self) -> tuple[int, int]:
        """Zeros that are read before and after the axis; some of torch's last ones may not be."""
        reach = (self.out - 1) * self.stride + (self.kernel - 1) * self.dilation + 1
        return self.pad, max(0, reach - self.size - self.pad)

    @property
    def is_same(self) -> bool:
        """Whether it equals TFLite's SAME, which puts an odd zero at the end."""
        before, after = self.overhang
        return self.out == -(-self.size // self.stride) and after - before in (0, 1)


def split(columns: Window, weight: Floats) -> Iterator[tuple[Window, Floats]]:
    """Yield (window, weight) parts of at most `MAX_TAPS` taps each that sum to the whole.

    The columns of a part are symmetric about the middle and equidistant (of seven: 0 3 6, 1 5,
    2 4), so it is a dilated convolution with the same centre and needs no slice of its input. A
    window that cannot be split like that is yielded whole.

    Args:
        columns: the window along the width.
        weight: (1, height, width, channels) of a depthwise convolution.
    """
    height, width = weight.shape[1:3]
    middle = width // 2
    if height * width <= MAX_TAPS or width % 2 == 0 or columns.pad < middle:
        yield columns, weight
        return
    three = 3 * height <= MAX_TAPS
    steps = [2 * (middle - first) for first in range(middle)]
    parts = [slice(first, width - first, step) for first, step in enumerate(steps)]
    if three:  # the outermost pair includes the middle column
        parts[0] = slice(0, width, middle)
    else:
        parts.append(slice(middle, middle + 1, 1))
    for part in parts:
        some = weight[:, :, part]
        yield (
            replace(
                columns,
                kernel=some.shape[2],
                pad=columns.pad - part.start,
                dilation=part.step,
            ),
            some,
        )
