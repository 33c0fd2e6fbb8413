"""A search space for images of 16 and 20 pixels: a skeleton with the widths of each stage."""

from dataclasses import replace

from hwnat.records.space import MBV3_NANO, Space

_NANO = MBV3_NANO.skeleton(0)
_STAGES = tuple(
    replace(stage, channels=channels)
    for stage, channels in zip(_NANO.stages, (8, 16, 16, 24, 32), strict=True)
)

MBV3_MICRO = Space(
    name="mbv3-micro",
    resolutions=(16, 20),
    skeletons=((0, replace(_NANO, stem_channels=8, stages=_STAGES)),),
)
