"""Which runs are made: HWNAT_FAULT_SEEDS says how many.

All that a release has to survive: HWNAT_FAULT_SEEDS=200 python -m pytest tests/faults -m slow
"""

import os

COUNT = int(os.environ.get("HWNAT_FAULT_SEEDS", "40"))


#: Of so many seeds each, the first ones are phones', which take longer.
_OF, _PHONES = 5, 2


def of_phones() -> list[int]:
    return [seed for seed in range(COUNT) if seed % _OF < _PHONES]


def of_boards() -> list[int]:
    return [seed for seed in range(COUNT) if seed % _OF >= _PHONES]


def number_of(seed: int) -> int:
    """Return how many seeds of the same devices come before it."""
    group, place = divmod(seed, _OF)
    return group * _PHONES + place if place < _PHONES else group * (_OF - _PHONES) + place - _PHONES
