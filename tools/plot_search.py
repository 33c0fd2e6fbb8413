"""Draw what `benchmarks/search_quality.py` found as one SVG: error against latency, by method.

python tools/plot_search.py FOLDER SEED docs/search.svg
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl

STYLES = {
    "random": ("random search", "#b0b0b0", "o"),
    "nat-without-adaptation": ("NAT without adaptation", "#d08a3c", "^"),
    "nat": ("NAT", "#1f6fb4", "s"),
}


def main() -> None:
    """Read the scores of one seed and write the picture."""
    folder, seed, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "hwnat"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.8))
    for name, (label, colour, marker) in STYLES.items():
        score = json.loads((folder / f"{name}-{seed}" / "score.json").read_text())
        cloud = [(latency / 1e6, error) for error, latency in score["measured"]]
        front = sorted((latency / 1e6, error) for error, latency in score["front"])
        axes.plot(*zip(*cloud, strict=True), marker, ms=3, color=colour, alpha=0.35)
        axes.step(*zip(*front, strict=True), where="post", color=colour, label=label, lw=1.8)
    axes.set_xlabel("predicted latency, ms (ONNX Runtime, one thread)")
    axes.set_ylabel("validation error, %")
    axes.set_yscale("log")
    ticks = (0.2, 0.5, 1, 2, 5)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
