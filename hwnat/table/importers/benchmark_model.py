"""Operator profiles of TensorFlow Lite and LiteRT as CSV, text or protocol buffers."""

from typing import Final

from hwnat.table.importers.base import Facts, Importer
from hwnat.table.importers.benchmark_model_pb import pb_profile
from hwnat.table.importers.benchmark_model_text import csv_profile, text_profile
from hwnat.table.importers.node_profile import Kinds, NodeProfileImporter

_KINDS: Final[Kinds] = {
    "CONV_2D": ("conv",),
    "DEPTHWISE_CONV_2D": ("dwconv",),
    "TRANSPOSE_CONV": ("deconv",),
    "FULLY_CONNECTED": ("linear", "matmul", "mix"),
    "AVERAGE_POOL_2D": ("pool", "gpool"),
    "MAX_POOL_2D": ("pool", "gpool"),
    "MEAN": ("gpool",),
    "ADD": ("add",),
    "MUL": ("mul",),
    "CONCATENATION": ("concat",),
    "SOFTMAX": ("softmax",),
}
_FACTS: Final = Facts(target="tflite", runtime="benchmark_model")

CSV: Final[Importer] = NodeProfileImporter(
    name="benchmark-model-csv", unit="ms", profile=csv_profile, kinds=_KINDS, facts=_FACTS
)
TEXT: Final[Importer] = NodeProfileImporter(
    name="benchmark-model-text", unit="ms", profile=text_profile, kinds=_KINDS, facts=_FACTS
)
PB: Final[Importer] = NodeProfileImporter(
    name="benchmark-model-pb", unit="us", profile=pb_profile, kinds=_KINDS, facts=_FACTS
)
