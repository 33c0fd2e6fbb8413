from dataclasses import dataclass, replace

import numpy as np
import pytest

from hwnat.errors import DataError, TableMismatchError
from hwnat.predict.operators import OperatorPredictor
from hwnat.records.op import OpSpec
from hwnat.table.calibrate import calibrate
from hwnat.targets.trace import Trace, TracedOp

KNOWN = "conv|in=1x8x8x4|out=8|k=3|s=1|act=relu|float32"
OTHER = "linear|in=1x1x1x8|out=10|float32"
NEW = "conv|in=1x8x8x8|out=8|k=3|s=1|act=relu|float32"
HUGE = "conv|in=1x99x99x8|out=8|k=3|s=1|act=relu|float32"
OPAQUE = OpSpec.from_key("opaque|in=1x8x8x4|f=Erf-Add.0123456789abcdef|float32")
STRANGE = "softmax|in=1x1x1x10|float32"


@dataclass
class Estimates:
    ns: np.ndarray
    low_ns: np.ndarray
    high_ns: np.ndarray
    in_range: np.ndarray


class ConvModel:
    """Says 1000 ns, 800 to 1250, for every convolution; trained below 50 pixels."""

    def covers(self, op):
        return op.kind == "conv"

    def predict(self, ops):
        n = len(ops)
        inside = np.array([op.in_shape[1] < 50 for op in ops])
        return Estimates(np.full(n, 1000.0), np.full(n, 800.0), np.full(n, 1250.0), inside)


def traced(*keys, target="onnx", batch=1):
    ops = [
        TracedOp(op=OpSpec.from_key(key), nodes=(f"/n{index}",), kernel="k")
        if "|" in key
        else TracedOp(op=OPAQUE, nodes=(f"/n{index}",), kernel="k", reason=key)
        for index, key in enumerate(keys)
    ]
    return Trace(target=target, runtime="some 1", batch=batch, ops=tuple(ops), removed=())


@pytest.fixture
def an_operator_table(a_table, an_entry):
    def build(**changes):
        measured = [10_000 * n for n in range(1, 11)]
        sums = [round(m / 1.25) for m in measured]
        drift = [m + (-1) ** i * m // 50 for i, m in enumerate(measured)]
        names = [f"net{i}" for i in range(10)]
        default = {
            "space": None,
            "classes": None,
            "resolutions": (),
            "granularity": "operator",
            "entries": {KNOWN: an_entry(3000), OTHER: an_entry(500)},
            "overhead_ns": 100,
            "calibration": calibrate(names, sums, [5] * 10, drift),
        }
        return replace(a_table(), **{**default, **changes})

    return build


def test_measured_operators_are_looked_up_and_no_model_is_fitted(an_operator_table):
    table = an_operator_table()
    found = OperatorPredictor(table, fit=pytest.fail).predict(traced(KNOWN, OTHER, KNOWN))
    assert [part.latency_ns for part in found.parts] == [3000, 500, 3000]
    assert {part.provenance for part in found.parts} == {"measured"}
    assert found.parts[1].nodes == ("/n1",)
    assert found.latency_ns == float(table.calibration.apply(6600, 3))
    assert not found.missing


def test_others_are_estimated_flagged_and_widen_the_interval(an_operator_table):
    predictor = OperatorPredictor(an_operator_table(), fit=lambda _: ConvModel())
    sure, unsure = predictor.predict(traced(KNOWN)), predictor.predict(traced(KNOWN, NEW, HUGE))
    _, new, huge = unsure.parts
    assert new.provenance == huge.provenance == "estimated"
    assert new.interval_ns == (800, 1250)
    assert not new.flags
    assert huge.flags == ("outside the sizes its model was trained on",)
    scale = unsure.latency_ns / 5100
    low, high = (end / unsure.latency_ns for end in unsure.interval_ns)
    plain_low, plain_high = (end / sure.latency_ns for end in sure.interval_ns)
    assert low < plain_low < 1 < plain_high < high
    # Errors of one model add up: 2 x 250 of 5100 ns, beside the calibration's own.
    width = np.hypot(plain_high - 1, 500 * scale / unsure.latency_ns)
    assert high - 1 == pytest.approx(width)


def test_what_cannot_be_predicted_is_all_named_with_its_nodes(an_operator_table):
    predictor = OperatorPredictor(an_operator_table(), fit=lambda _: ConvModel())
    trace = traced(KNOWN, STRANGE, "attention in one kernel", STRANGE)
    with pytest.raises(DataError) as error:
        predictor.predict(trace)
    for part in (
        "3 of 4 operators",
        f"{STRANGE} at /n1, /n3",
        f"{OPAQUE.key} (no entry, and only a measurement can give one: attention in one kernel)",
        "hwnat profile --device host-onnx --model",
        "--partial",
    ):
        assert part in str(error.value)
    found = predictor.predict(trace, partial=True)
    assert [each.nodes for each in found.missing] == [("/n1",), ("/n2",), ("/n3",)]
    assert found.missing[0].reason == "neither an entry nor a model of its kind"
    assert found.missing[1].key == OPAQUE.key
    assert found.interval_ns is None
    assert len(found.parts) == 1


def test_too_few_entries_for_any_model_are_no_crash(an_operator_table):
    def fit(_):
        msg = "too few"
        raise DataError(msg)

    predictor = OperatorPredictor(an_operator_table(), fit=fit)
    with pytest.raises(DataError, match=r"1 of 2 operators .*conv\|in=1x8x8x8"):
        predictor.predict(traced(KNOWN, NEW))
    (missing,) = predictor.predict(traced(KNOWN, NEW), partial=True).missing
    assert missing.reason == "neither an entry nor a model of its kind (too few)"


def test_a_table_of_something_else_is_refused(an_operator_table, a_table):
    with pytest.raises(TableMismatchError, match=r"hwnat profile --device host-onnx --model"):
        OperatorPredictor(a_table(), fit=pytest.fail)
    predictor = OperatorPredictor(an_operator_table(), fit=pytest.fail)
    with pytest.raises(TableMismatchError, match="has target onnx, the model has target tflite"):
        predictor.predict(traced(KNOWN, target="tflite"))
    with pytest.raises(TableMismatchError, match="has batch 1, the model has batch 4"):
        predictor.predict(traced(KNOWN, batch=4))


def test_without_enough_networks_there_is_no_interval(an_operator_table):
    table = an_operator_table(calibration=calibrate([], [], [], []))
    found = OperatorPredictor(table, fit=pytest.fail).predict(traced(KNOWN))
    assert found.interval_ns is None
    assert found.latency_ns == 3100
