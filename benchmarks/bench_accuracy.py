"""How close `hwnat bench` comes to slowdowns of a known size.

A network of equal layers gets one or two layers more, which makes it slower by the layers' share.
Prints the ratio that each run measured, its error and the seconds that the run took. Run it beside
other work to see what a busy machine does to it.

    python benchmarks/bench_accuracy.py --runs 5
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import monotonic

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwnat.cli.output import print_table, text
from hwnat.profile.bench import bench
from hwnat.records.device import load_device

_LAYERS = 20


def write(path: Path, layers: int, *, side: int, channels: int) -> None:
    """Write a network of `layers` equal 3x3 convolutions on a (1, channels, side, side) input."""
    rng = np.random.default_rng(0)
    nodes, stored, value = [], [], "x"
    for layer in range(layers):
        shape = (channels, channels, 3, 3)
        weight = rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(9 * channels))
        stored.append(numpy_helper.from_array(weight, f"w{layer}"))
        made = "y" if layer == layers - 1 else f"h{layer}"
        nodes.append(helper.make_node("Conv", [value, f"w{layer}"], [made], pads=[1] * 4))
        value = made
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, channels, side, side))
        for name in ("x", "y")
    ]
    graph = helper.make_graph(nodes, "layers", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def main() -> None:
    """Plant slowdowns of 5 and 10 % and measure them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each comparison")
    parser.add_argument("--device", nargs="*", default=["host-onnx", "host-openvino"])
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for side, channels in ((14, 32), (28, 64)):
            for extra in (0, 1, 2):
                write(
                    Path(folder, f"{side}-{extra}.onnx"),
                    _LAYERS + extra,
                    side=side,
                    channels=channels,
                )
        for name in asked.device:
            device = load_device(name)
            for side in (14, 28):
                for extra in (0, 1, 2):
                    files = [Path(folder, f"{side}-{more}.onnx") for more in (0, extra)]
                    truth, errors, seconds, covered = 1 + extra / _LAYERS, [], [], 0
                    for _ in range(asked.runs):
                        began = monotonic()
                        base, other = bench(files, device=device, cache=Path(folder, "models"))
                        seconds.append(monotonic() - began)
                        errors.append(other.ratio / truth - 1)
                        covered += other.ratio_low <= truth <= other.ratio_high
                        del base
                    rows.append(
                        (
                            f"{name} {side}x{side}",
                            *(f"{truth:.2f}", f"{1e2 * median(errors):+.2f}"),
                            f"{1e2 * max(errors, key=abs):+.2f}",
                            f"{covered}/{len(errors)}",
                            f"{max(seconds):.1f}",
                        )
                    )
    columns = (text("device, input"), "true ratio", "median error %", "worst error %")
    print_table("", (*columns, "in interval", "slowest s"), rows)


if __name__ == "__main__":
    sys.exit(main())
