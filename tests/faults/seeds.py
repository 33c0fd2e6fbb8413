"""Which runs are made: HWNAT_FAULT_SEEDS says how many."""

import os

COUNT = int(os.environ.get("HWNAT_FAULT_SEEDS", "40"))


def of_phones() -> list[int]:
    return [seed for seed in range(COUNT) if seed % 5 < 2]


def of_boards() -> list[int]:
    return [seed for seed in range(COUNT) if seed % 5 >= 2]
