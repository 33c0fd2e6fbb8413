"""Profile models, predict them, time them anew, and print how far apart the two are.

For each model and device: `hwnat profile --model X --budget 100`, `hwnat predict --model X`, and a
new measurement in a process of its own, beside the reference network of the table.

    python benchmarks/any_network.py FILE[:INPUT=SHAPE,...] ... [--device NAME] [--json OUT]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: Suffix of a file -> devices that may run it.
DEVICES = {
    ".onnx": ("host-onnx", "host-openvino", "host-tflite"),
    ".tflite": ("host-tflite",),
    ".xml": ("host-openvino",),
}


def fresh(table_path: Path, model: Path, cache: Path, shapes: list[str]) -> float:
    """Time a model anew on the scale of a table, and return nanoseconds."""
    from hwnat.profile.models import ExportedModels, ModelsAndFiles
    from hwnat.profile.operator_plan import adopted
    from hwnat.profile.rounds import make_visits
    from hwnat.profile.timer import open_timer, target_of
    from hwnat.records.device import load_device
    from hwnat.table.build import entry
    from hwnat.table.lookup import load_table
    from hwnat.targets.fixed import fixed_copies
    from hwnat.targets.inputs import parse_shapes

    table = load_table(table_path)
    device = load_device(table.setup.device)
    target, folder = target_of(device), cache / device.target
    with tempfile.TemporaryDirectory() as temporary:
        copies = fixed_copies(target, [model], parse_shapes(shapes), Path(temporary))
        network = adopted(copies[0], target, folder)
        with open_timer(device, target) as timer:
            setup = timer.setup(reference=table.setup.reference, batch=table.setup.batch)
            loads = [f"{network.key}|load={load}" for load in range(3)]
            visits = make_visits(
                loads,
                timer=timer,
                setup=setup,
                files=ModelsAndFiles(
                    models=ExportedModels(target=target, folder=folder),
                    files=dict.fromkeys(loads, network.path),
                ),
                rounds=device.protocol.rounds,
                report=lambda *_: None,
            )
    made = [visit for load in loads for visit in visits[load]]
    return entry(made, reference_ns=table.timed_as()[1]).p50_ns


def run(*argv: object) -> subprocess.CompletedProcess[str]:
    """Run hwnat in a process of its own."""
    words = [sys.executable, "-m", "hwnat.cli.main", *map(str, argv)]
    return subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)


def compare(model: Path, shapes: list[str], device: str, folder: Path) -> dict[str, object]:
    """Profile, predict and time one model on one device."""
    table, cache = folder / f"{device}-{model.name}.json", folder / "models"
    options = [word for shape in shapes for word in ("--shape", shape)]
    began = time.monotonic()
    made = run(
        "profile", "--device", device, "--model", model, *options, "--budget", 100,
        "--store", folder / f"{device}-{model.name}.sqlite", "--cache", cache, "--out", table,
    )  # fmt: skip
    took_s = time.monotonic() - began
    row: dict[str, object] = {"model": model.name, "device": device, "profile_s": round(took_s, 1)}
    if made.returncode:
        return row | {"refused": made.stderr.strip().splitlines()[-1]}
    said = run("predict", "--table", table, "--model", model, *options, "--json")
    if said.returncode:
        return row | {"refused": said.stderr.strip().splitlines()[-1]}
    predicted = json.loads(said.stdout)
    argv = [sys.executable, __file__, "--fresh", table, model, "--cache", cache]
    argv += [word for shape in shapes for word in ("--shape", shape)]
    again = subprocess.run(
        list(map(str, argv)), capture_output=True, text=True, timeout=600, check=True
    )
    measured_ns = float(again.stdout.split()[-1])
    low, high = predicted["interval_ns"] or (None, None)
    return row | {
        "operators": predicted["operators"],
        "predicted_ms": predicted["latency_ns"] / 1e6,
        "measured_ms": measured_ns / 1e6,
        "error": predicted["latency_ns"] / measured_ns - 1,
        "inside": None if low is None else low <= measured_ns <= high,
        "width": None if low is None else (high - low) / 2 / predicted["latency_ns"],
        "provenance": predicted["provenance"],
    }


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--device", action="append")
    parser.add_argument("--folder", type=Path, default=Path(".hwnat/any-network"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--fresh", nargs=2, type=Path, metavar=("TABLE", "MODEL"))
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--shape", action="append", default=[])
    args = parser.parse_args()
    if args.fresh:
        print(fresh(*args.fresh, args.cache, args.shape))
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for word in args.files:
        name, _, shapes = word.partition(":")
        model = Path(name)
        for device in args.device or DEVICES[model.suffix]:
            if device in DEVICES[model.suffix]:
                rows.append(
                    compare(model, list(filter(None, shapes.split(","))), device, args.folder)
                )
                print(line(rows[-1]), flush=True)
                if args.json:
                    args.json.write_text(json.dumps(rows, indent=1))
    errors = [abs(row["error"]) for row in rows if "error" in row]
    if errors:
        inside = [row["inside"] for row in rows if row.get("inside") is not None]
        print(
            f"{len(errors)} of {len(rows)} predicted: within 5 % "
            f"{sum(e <= 0.05 for e in errors) / len(errors):.0%}, within 10 % "
            f"{sum(e <= 0.1 for e in errors) / len(errors):.0%}, worst {max(errors):.1%}, "
            f"in the 90 % interval {sum(inside) / max(1, len(inside)):.0%}"
        )


def line(row: dict[str, object]) -> str:
    """Return a row of the table in docs/latency.md."""
    start = f"| {row['model']} | {row['device']} | {row['profile_s']} s |"
    if "refused" in row:
        return f"{start} refused: {row['refused']} |"
    return (
        f"{start} {row['operators']} | {row['predicted_ms']:.3f} | {row['measured_ms']:.3f} | "
        f"{row['error']:+.1%} | {'yes' if row['inside'] else 'no'} (±{row['width']:.0%}) |"
    )


if __name__ == "__main__":
    main()
