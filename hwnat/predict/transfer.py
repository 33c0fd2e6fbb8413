"""Fill a new device's table from other devices' tables and a few timings of its own.

Devices differ less than networks do: the log of a latency is close to the mean of its logs on
other devices. A Gaussian process explains the rest from the operation's kind and sizes, and from
how the other devices differ on it. A second process ignores the other devices and starts from
the work of each operation. Left-out timings set the weight of each, so misleading tables, such as
those of another runtime, lose influence.

Source of the mixture: Breiman, Stacked regressions, 1996, with one weight and leave-one-out.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from hwnat.errors import DataError, UncoveredOpError, UsageError
from hwnat.predict.gaussian import Floats, Regression, most_informative
from hwnat.predict.relation import Relation, relate, without_sources
from hwnat.table.entry import Z90, Entry, derived_entry
from hwnat.table.lookup import LatencyTable

#: Fewest timings that show a device's speed.
MIN_TIMINGS: Final = 3
#: Operations that the planner chooses from, and those whose variance it reduces.
_CANDIDATES: Final = 1000
_TARGETS: Final = 1000
#: Number of left-out timings that weigh as much as the assumption of normal errors.
_TRUST: Final = 30
_COVERAGE: Final = 0.9
#: Steps in the grid of mixtures of two models.
_STEPS: Final = 20


def choose_timings(
    sources: Sequence[LatencyTable], budget: int, *, seed: int = 0
) -> tuple[str, ...]:
    """Return the keys of the operations to time on a new device, the most informative first.

    A prefix of the result is the result for a smaller budget.

    Raises:
        UsageError: the budget is below `MIN_TIMINGS`.
        DataError: the sources cannot be aligned.
    """
    if budget < MIN_TIMINGS:
        msg = f"A transfer needs at least {MIN_TIMINGS} timings; a budget of {budget} is too small."
        raise UsageError(msg)
    relation, rng = relate(sources, seed=seed), np.random.default_rng(seed)
    count = len(relation.keys)
    candidates = rng.permutation(count)[: max(_CANDIDATES, 2 * budget)]
    targets = rng.permutation(count)[:_TARGETS]
    picked = most_informative(relation.inputs, candidates, targets, budget)
    return tuple(relation.keys[row] for row in picked)


def transfer(
    sources: Sequence[LatencyTable],
    measured: Mapping[str, Entry],
    *,
    keys: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Entry]:
    """Return the entries of a new device: timed entries unchanged, the rest transferred.

    Args:
        sources: tables of other devices, one or more.
        measured: entries of the new device.
        keys: keys to return; defaults to all that are timed or that a source holds.
        seed: seed for drawing the shared operations that align sources with gaps.

    Returns:
        Entries by key, sorted. `p50_ns` of a transferred entry is the expected latency, so that
        sums are not biased; its interval covers nine latencies in ten.

    Raises:
        UncoveredOpError: neither the timings nor a source hold a key.
        DataError: there are too few timings of operations that a source holds, or the sources
            cannot be aligned.
    """
    relation = relate(sources, seed=seed)
    wanted = sorted({*measured, *relation.keys} if keys is None else set(keys))
    known = {*relation.keys, *measured}
    if missing := [key for key in wanted if key not in known]:
        raise _uncovered(missing[0], sources)
    rest = [key for key in wanted if key not in measured]
    entries = {key: measured[key] for key in wanted if key in measured}
    if rest:
        entries |= zip(rest, _entries(relation, measured, rest), strict=True)
    return {key: entries[key] for key in wanted}


def expected(
    relations: Sequence[Relation], measured: Mapping[str, int], keys: Sequence[str]
) -> tuple[Floats, Floats, Floats]:
    """Return the (n,) latencies of `keys` and the ends of their intervals, in ns.

    Args:
        relations: one or two relations of the same operations, weighted by left-out timings.
        measured: latencies of the new device in ns, by key.
        keys: keys of operations in the relations.

    Raises:
        DataError: there are too few timings of operations that the relations hold.
    """
    timed = sorted(measured.keys() & set(relations[0].keys))
    if len(timed) < MIN_TIMINGS:
        msg = (
            f"Only {len(timed)} of {len(measured)} timings are of operations that the sources "
            f"hold; time at least {MIN_TIMINGS} of the operations in the plan."
        )
        raise DataError(msg)
    rows, asked = relations[0].rows(timed), relations[0].rows(keys)
    logs = np.log([float(measured[key]) for key in timed])
    models = [
        Regression(relation.inputs, rows, logs - relation.base[rows]) for relation in relations
    ]
    left_out = np.array([model.left_out() for model in models])
    shares = _shares(left_out[:, 0], left_out[:, 1])
    logs_and_deviations = np.array([model.predict(asked) for model in models])
    logs_and_deviations[:, 0] += np.array([relation.base[asked] for relation in relations])
    mean, deviation = np.tensordot(shares, logs_and_deviations, 1)
    half = _quantile(*np.tensordot(shares, left_out, 1)) * deviation
    low, high = np.exp(mean - half), np.exp(mean + half)
    return np.clip(np.exp(mean + deviation**2 / 2), low, high), low, high


def _shares(errors: Floats, claimed: Floats) -> Floats:
    """Return the weights of one or two models, from their (models, timings) left-out errors.

    An isolated timing is hard for any model to predict and says little about the rest, so errors
    are divided by the models' own uncertainty.
    """
    if len(errors) == 1:
        return np.ones(1)
    scaled = errors / claimed.mean(axis=0)
    steps = np.linspace(0, 1, _STEPS + 1)
    mixed = np.abs(np.outer(1 - steps, scaled[0]) + np.outer(steps, scaled[1])).mean(axis=1)
    share = float(steps[mixed.argmin()])
    return np.array([1 - share, share])


def _quantile(errors: Floats, claimed: Floats) -> float:
    """Return the half-width of an interval, in units of the model's own standard deviation.

    This is the conformal rank of the left-out errors, mixed by logs with the quantile of a normal
    distribution. The fewer the errors, the more the normal distribution counts.
    """
    count = len(errors)
    rank = min(count, int(np.ceil(_COVERAGE * (count + 1))))
    half_width = float(np.sort(np.abs(errors) / claimed)[rank - 1])
    trust = count / (count + _TRUST)
    return float(np.exp(trust * np.log(max(half_width, 1e-3)) + (1 - trust) * np.log(Z90)))


def _entries(relation: Relation, measured: Mapping[str, Entry], keys: Sequence[str]) -> list[Entry]:
    timed = {key: entry.p50_ns for key, entry in measured.items()}
    count = len(relation.rows(list(timed)))
    values = np.stack(expected([relation, without_sources(relation)], timed, keys))
    return [derived_entry(*ends, n=count, provenance="transferred") for ends in values.T.tolist()]


def _uncovered(key: str, sources: Sequence[LatencyTable]) -> UncoveredOpError:
    """Return the first source's error; it names all sources."""
    error = sources[0].uncovered(key)
    tables = " and ".join(table.name for table in sources)
    remedy = f"hwnat profile --device {sources[0].setup.device} --op '{key}'"
    return UncoveredOpError(key, table=tables, nearest=error.nearest, remedy=remedy)
