from dataclasses import replace

import numpy as np
import pytest

from hwnat.errors import DataError, UncoveredOpError, UsageError
from hwnat.predict.additive import AdditivePredictor
from hwnat.predict.slots import SlotLabel
from hwnat.records.grid import grid
from hwnat.records.space import MBV3, MBV3_NANO
from hwnat.table.calibrate import Calibration

affine = Calibration(form="affine", scale=0.913, per_op_ns=777.7, constant_ns=1234.5)


@pytest.mark.parametrize(("space", "resolutions"), [(MBV3_NANO, None), (MBV3, (192, 256))])
@pytest.mark.parametrize("calibration", [Calibration(), affine])
def test_slots_add_up_to_the_latency(a_table, space, resolutions, calibration):
    table = a_table(space, resolutions, calibration=calibration)
    predictor = AdditivePredictor(table)
    costs = predictor.slot_costs()
    genomes = space.sample(500, rng=np.random.default_rng(0))
    genomes[:, 0] = np.random.default_rng(1).choice(costs.heads[:, 0], 500)
    assert costs.latency_ns(genomes) == pytest.approx(predictor.latency_ns(genomes), rel=1e-13)
    assert not costs.block_ns[..., 0].any()
    assert costs.block_ns[..., 1:].min() > 0
    for genome in genomes[:20]:
        corner = int(costs.corner(genome[None])[0])
        parts = [costs.block_ns[slot, corner, gene] for slot, gene in enumerate(genome[2:])]
        assert costs.fixed_ns[corner] + sum(parts) == pytest.approx(
            predictor.latency_ns([genome]).item(), rel=1e-13
        )


def test_a_cell_says_what_it_is_the_cost_of(a_table):
    table = a_table(MBV3, (192, 256), calibration=affine)
    costs = AdditivePredictor(table).slot_costs()
    assert costs.resolutions == (192, 192, 256, 256)
    assert costs.width_genes == (0, 1, 0, 1)
    assert costs.label(7, 3, 4) == SlotLabel(slot=7, resolution=256, width_gene=1, gene=4)
    block = grid(MBV3, 256, 1, classes=10).blocks[7][3]
    expected = 0.913 * table.entries[block.key].p50_ns + 777.7
    cells = dict(costs.labels())
    assert len(cells) == costs.block_ns.size
    assert cells[costs.label(7, 3, 4)] == pytest.approx(expected)
    assert cells[costs.label(7, 3, 0)] == 0


def test_a_missing_entry_is_an_error_at_its_resolutions_only(a_table):
    missing = grid(MBV3_NANO, 28, 0, classes=10).blocks[5][3].key
    entries = {key: each for key, each in a_table().entries.items() if key != missing}
    predictor = AdditivePredictor(a_table(entries=entries))
    for asked in (None, (28,), (24, 28)):
        with pytest.raises(UncoveredOpError, match="--op") as refused:
            predictor.slot_costs(asked)
        assert refused.value.key == missing
    assert predictor.slot_costs((32, 24)).resolutions == (24, 32)


def test_a_resolution_that_was_not_measured_is_named(a_table):
    predictor = AdditivePredictor(a_table(resolutions=(24,)))
    assert predictor.slot_costs().resolutions == (24,)
    with pytest.raises(UncoveredOpError, match=r"--resolution 24 --resolution 32$"):
        predictor.slot_costs((24, 32))
    with pytest.raises(UsageError, match="no resolution 25"):
        predictor.slot_costs((25,))
    with pytest.raises(UsageError, match="at least one resolution"):
        predictor.slot_costs(())
    with pytest.raises(DataError, match=r"Genes 0 and 1 are 2 and 0; .* cover resolution 24 and"):
        predictor.slot_costs().latency_ns([MBV3_NANO.largest()])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fixed_ns": np.array([1.0])}, "fixed costs"),
        ({"fixed_ns": np.array([1.0, 1.0, np.nan, 1.0])}, "finite"),
        ({"fixed_ns": np.array([1.0, 1.0, -1.0, 1.0])}, "not negative"),
        ({"block_ns": np.zeros((7, 4, 3))}, "blocks"),
        ({"block_ns": np.zeros((8, 4, 1))}, "1 choices"),
        ({"block_ns": np.zeros((8, 4, 11))}, "11 choices"),
        ({"block_ns": np.ones((8, 4, 3))}, "a skipped block costs"),
        ({"width_genes": (0, 0, 0, 2)}, "corners that clash"),
        ({"width_genes": (0, 2)}, "corners that clash"),
    ],
)
def test_what_is_no_decomposition_is_refused(some_costs, changes, message):
    costs = some_costs(np.random.default_rng(0))
    with pytest.raises(DataError, match=message):
        replace(costs, **changes)
