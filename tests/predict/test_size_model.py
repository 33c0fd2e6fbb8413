import numpy as np
import pytest

from hwnat.predict.size_model import fit
from hwnat.records.arch import Block, mbconv

RATES = np.array([6e-2, 0.1, 0.4])


def block(size, kernel, expand, stride=1):
    return mbconv(
        (1, size, size, 48),
        Block(kernel, expand),
        out_channels=48 * stride,
        stride=stride,
        se=True,
        act="relu",
    )


def blocks(sizes, stride=1):
    return [block(s, k, e, stride) for s in sizes for k in (3, 7) for e in (3, 6)]


def latency(op, *, tile, drift=0.0):
    """A device: products in tiles, depthwise, element-wise, a start, and slower large maps."""
    size, out = op.in_shape[1], op.out_size[0]
    tiled = [-(-each * each // tile) * tile for each in (size, out)]
    macs = op.mid_channels * (tiled[0] * op.in_shape[3] + tiled[1] * op.out_channels)
    depthwise = out * out * op.mid_channels * op.kernel**2
    plain = (size * size + out * out) * op.mid_channels
    return (RATES @ [macs, depthwise, plain] + 20_000) * (1 + drift * np.log(size / 10))


def times(ops, **more):
    return np.array([latency(op, **more) for op in ops])


@pytest.mark.parametrize("tile", [1, 8])
def test_the_tile_of_a_device_is_found_and_hidden_sizes_are_predicted(tile):
    known = blocks((10, 11, 12, 13, 14)) + blocks((10, 11, 12, 13, 14), stride=2)
    hidden = blocks((9, 15)) + blocks((9, 15), stride=2)
    noise = 1 + 0.001 * np.random.default_rng(0).standard_normal(len(known))
    model = fit(known, times(known, tile=tile, drift=0.05) * noise)
    assert model.tile == tile
    found, _ = model.predict(hidden)
    assert found == pytest.approx(times(hidden, tile=tile, drift=0.05), rel=0.015)


def test_an_error_that_a_size_shares_is_expected_of_others():
    known = blocks((10, 11, 12, 13, 14))
    even, odd = (fit(known, times(known, tile=1) * factor) for factor in (1, bumpy(known)))
    assert even.shared < 0.004
    assert odd.shared > even.shared


def bumpy(ops):
    return np.array([1.06 if op.in_shape[1] == 12 else 1.0 for op in ops])


def test_fits_are_deterministic():
    known, hidden = blocks((20, 22, 24)), blocks((21, 23))
    first, second = (fit(known, times(known, tile=4)).predict(hidden) for _ in range(2))
    assert (first[0] == second[0]).all()
    assert (first[1] == second[1]).all()


def test_covariances_are_covariances():
    known, hidden = blocks((20, 22, 24)), blocks((21, 23))
    _, covariance = fit(known, times(known, tile=4)).predict(hidden)
    assert covariance == pytest.approx(covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0
