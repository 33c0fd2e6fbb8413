"""Read device files and latency tables as hwnat does, and report each one that it refuses.

python tools/check_records.py [FILE ...]    default: every file in devices/ and latency_tables/
"""

import sys
from pathlib import Path

from hwnat.errors import HwnatError
from hwnat.records.device import load_device
from hwnat.table.lookup import load_table

ROOT = Path(__file__).parents[1]


def problem(path: Path) -> str | None:
    """Return why hwnat refuses a file; None if it accepts it."""
    try:
        if path.suffix == ".toml":
            load_device(path)
            return None
        setup = load_table(path).setup
    except HwnatError as refused:
        return str(refused)
    space = load_table(path).space
    expected = Path(setup.device) / f"{setup.target}-{setup.precision}-{space}.json"
    if Path(*path.parts[-2:]) != expected:
        return f"{path}: this table belongs at latency_tables/{expected}; move it there."
    return None


def main(arguments: list[str]) -> int:
    """Check the named files; return 1 if any is refused."""
    shipped = [*ROOT.glob("devices/*.toml"), *ROOT.glob("latency_tables/**/*.json")]
    paths = [Path(argument) for argument in arguments] or sorted(shipped)
    problems = [text for text in map(problem, paths) if text]
    for text in problems:
        print(text, file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
