"""Which runs are made: HWNAT_FAULT_SEEDS says how many.

All that a release has to survive: HWNAT_FAULT_SEEDS=200 python -m pytest tests/faults -m slow
"""

import os

COUNT = int(os.environ.get("HWNAT_FAULT_SEEDS", "30"))


def of_phones() -> list[int]:
    return [seed for seed in range(COUNT) if seed % 5 < 2]


def of_boards() -> list[int]:
    return [seed for seed in range(COUNT) if seed % 5 >= 2]
