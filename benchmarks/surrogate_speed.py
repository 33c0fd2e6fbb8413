"""Time the surrogate on one core: fit 100 networks, predict 10,000 in a batch and one by one.

python benchmarks/surrogate_speed.py
"""

from statistics import median
from time import process_time

import numpy as np

from hwnat.records.space import MBV3_W10
from hwnat.search.surrogate import RbfEnsemble

REPEATS = 5
SINGLE = 100


def main() -> None:
    """Print medians of process CPU seconds and the speed-up of predicting in a batch."""
    rng = np.random.default_rng(0)
    known, new = MBV3_W10.sample(100, rng=rng), MBV3_W10.sample(10_000, rng=rng)
    fits, together, single = [], [], []
    for _ in range(REPEATS):
        begin = process_time()
        model = RbfEnsemble.fit(known, known.sum(axis=1) / 10, rng=rng)
        fits.append(process_time() - begin)
        begin = process_time()
        model.predict(new)
        together.append(process_time() - begin)
        begin = process_time()
        for row in new[:SINGLE]:
            model.predict(row[None])
        single.append((process_time() - begin) * len(new) / SINGLE)
    print(f"fit {median(fits):.2f} s, {len(new)} predictions {median(together):.2f} s (bar: 3 s)")
    print(f"one by one they would take {median(single) / median(together):.0f} times as long")


if __name__ == "__main__":
    main()
