"""A device that computes something else is refused, whatever the difference looks like."""

import numpy as np
import pytest

from hwnat.errors import DeviceError
from hwnat.records.device import load_device
from hwnat.remote.compare import compare
from hwnat.remote.profile import device_timer
from hwnat.remote.reach import Pace
from hwnat.targets.inputs import TensorSpec

OUTPUT = np.linspace(-1, 3, 40, dtype=np.float32).reshape(1, 40)


class Session:
    """A model that computes `OUTPUT`."""

    signature = (TensorSpec(name="x", shape=(1, 2, 2, 1), dtype="float32"),)

    def bind(self, feed):
        assert [x.shape for x in feed] == [(1, 2, 2, 1)]

    def invoke(self):
        pass

    def outputs(self):
        return [OUTPUT]


@pytest.fixture
def answer(this_machine, elsewhere, tmp_path):
    """Compare the output of a device with `OUTPUT`: `answer(array, precision="int8")`."""

    def ask(output, **keys):
        from elsewhere import PACE

        place = elsewhere(this_machine, runner="stub-answers", **keys)
        model = tmp_path / "model"
        model.write_bytes(output.tobytes())
        spec = load_device(place.file)
        with device_timer(spec, tell=lambda _: None, pace=Pace(**PACE)) as timer:
            try:
                return compare(timer.at, timer.at.runner, Session(), str(model))
            finally:
                assert not list(place.at("jobs").glob("*-*"))

    return ask


def test_the_same_output_differs_by_nothing(answer):
    assert answer(OUTPUT) == 0.0


def changed(at, value):
    output = OUTPUT.copy()
    output[0, at] = value
    return output


@pytest.mark.parametrize(
    "output",
    [
        changed(7, OUTPUT[0, 7] + 0.001),
        changed(0, OUTPUT[0, 0] - 0.001),
        changed(39, np.nan),
        changed(3, np.inf),
        OUTPUT[:, ::-1],
        OUTPUT * np.float32(1.01),
        -OUTPUT,
        np.zeros_like(OUTPUT),
    ],
)
def test_the_right_shape_with_wrong_numbers_is_refused(answer, output):
    words = r"elsewhere does not compute .* differ by .* of their range \(limit 0\.0001\)"
    with pytest.raises(DeviceError, match=words):
        answer(output)


@pytest.mark.parametrize(
    ("keys", "limit"), [({"precision": "int8"}, 0.1), ({"delegate": "gpu"}, 0.05)]
)
def test_integers_and_accelerators_may_differ_more_but_not_by_any_amount(answer, keys, limit):
    span = float(np.ptp(OUTPUT))
    inside = changed(5, OUTPUT[0, 5] + 0.9 * limit * span)
    assert answer(inside, **keys) == pytest.approx(0.9 * limit, rel=1e-3)
    with pytest.raises(DeviceError, match=rf"limit {limit:g}"):
        answer(changed(5, OUTPUT[0, 5] + 1.1 * limit * span), **keys)


def test_another_shape_is_refused(answer):
    with pytest.raises(DeviceError, match=r"elsewhere returns 156 bytes .* 1x40 float32, 160"):
        answer(OUTPUT[:, 1:])
