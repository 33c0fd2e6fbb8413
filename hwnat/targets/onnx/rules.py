"""Rules that turn the ONNX operators that the TFLite writer can express into PyTorch modules."""

from typing import Final

from hwnat.targets.onnx.builder import Rule
from hwnat.targets.onnx.layers import LAYERS
from hwnat.targets.onnx.moves import MOVES
from hwnat.targets.onnx.pointwise import POINTWISE

RULES: Final[dict[str, Rule]] = {**LAYERS, **POINTWISE, **MOVES}
