"""Rules for ONNX operators that compute each element alone."""

import math
import operator
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from torch import fx, nn

from hwnat.targets.modules import functions
from hwnat.targets.onnx.builder import Rule
from hwnat.targets.onnx.reader import DTYPES, Reader, Refused

_SELU: Final = 1.67326319217681884765625, 1.05070102214813232421875


def _one(r: Reader, value: float) -> fx.Node:
    return r.constant(np.array([value], np.float32))


def _binary(function: Any) -> Rule:  # noqa: ANN401
    return lambda r: r.function(function, r.input(0), r.input(1))


def _folded(function: Any) -> Rule:  # noqa: ANN401
    """Return the rule of an operator that takes any number of operands."""

    def rule(r: Reader) -> fx.Node:
        made = r.input(0)
        for index in range(1, r.inputs):
            made = r.function(function, made, r.input(index))
        return made

    return rule


def _mean(r: Reader) -> fx.Node:
    total = _folded(operator.add)(r)
    assert isinstance(total, fx.Node)
    return r.function(operator.mul, total, _one(r, 1 / r.inputs)) if r.inputs > 1 else total


def _product(r: Reader) -> fx.Node:
    x = _mish_input(r) or _gelu_input(r)
    if x is None:
        return r.function(operator.mul, r.input(0), r.input(1))
    kind, value = x
    for index in range(r.inputs):
        r.input(index)
    return r.call(nn.Mish() if kind == "Mish" else nn.GELU(), value)


def _mish_input(r: Reader) -> tuple[str, fx.Node] | None:
    """Recognise x tanh(softplus(x)), which older opsets use for Mish."""
    for x, gate in ((0, 1), (1, 0)):
        tanh = r.producer(gate)
        soft = tanh.producer(0) if tanh is not None and tanh.kind == "Tanh" else None
        if soft is not None and soft.kind == "Softplus" and soft.source(0) == r.source(x):
            return "Mish", r.input(x)
    return None


def _gelu_input(r: Reader) -> tuple[str, fx.Node] | None:
    """Recognise x / 2 (1 + erf(x / sqrt(2))), which older opsets use for GELU."""
    factors = _factors(r)
    scale = math.prod(float(f) for f in factors if isinstance(f, float))
    terms = [f for f in factors if not isinstance(f, float)]
    if len(terms) != 2 or abs(scale - 0.5) > 1e-6:
        return None
    for x, gate in (terms, terms[::-1]):
        erf = _erf_plus_one(gate[0].producer(gate[1]))
        if erf is not None and erf == x[0].source(x[1]):
            return "GELU", x[0].input(x[1])
    return None


def _factors(r: Reader) -> list[float | tuple[Reader, int]]:
    """Return the factors of a product, through products that only it reads."""
    factors: list[float | tuple[Reader, int]] = []
    for index in range(2):
        value = _scalar(r, index)
        inner = r.producer(index)
        if value is not None:
            factors.append(value)
        elif inner is not None and inner.kind == "Mul":
            factors += _factors(inner)
        else:
            factors.append((r, index))
    return factors


def _erf_plus_one(add: Reader | None) -> str | None:
    """Return x of 1 + erf(x / sqrt(2))."""
    if add is None or add.kind != "Add":
        return None
    for index in range(2):
        erf = add.producer(index)
        if erf is None or erf.kind != "Erf" or _scalar(add, 1 - index) != 1.0:
            continue
        inner = erf.producer(0)
        if inner is None or inner.kind not in ("Div", "Mul"):
            continue
        places = ((0, 1),) if inner.kind == "Div" else ((0, 1), (1, 0))
        for x, by in places:
            value = _scalar(inner, by)
            wanted = math.sqrt(2) if inner.kind == "Div" else math.sqrt(0.5)
            if value is not None and abs(value - wanted) < 1e-5:
                return inner.source(x)
    return None


def _scalar(r: Reader, index: int) -> float | None:
    if not r.is_stored(index):
        return None
    values = r.weights(index)
    return float(values.reshape(-1)[0]) if values.size == 1 else None


def _divide(r: Reader) -> fx.Node:
    if r.dtype(0) not in ("float32", ""):
        why = f"divides {r.dtype(0)}"
        raise Refused(why)
    return r.function(operator.truediv, r.input(0), r.input(1))


def _power(r: Reader) -> fx.Node:
    x = r.input(0)
    if r.dtype(0) not in ("float32", ""):
        why = f"raises {r.dtype(0)}"
        raise Refused(why)
    if not r.is_stored(1):
        return r.function(torch.pow, x, r.input(1))
    exponents = r.weights(1).astype(np.float32)
    special = float(exponents.reshape(-1)[0]) if exponents.size == 1 and exponents.ndim < 2 else 0
    if special == 2.0:
        return r.function(operator.mul, x, x)
    if special == 0.5:
        return r.function(torch.sqrt, x)
    return r.function(torch.pow, x, r.constant(exponents))


def _unary(function: Any) -> Rule:  # noqa: ANN401
    return lambda r: r.function(function, r.input(0))


def _module(kind: Callable[[], nn.Module]) -> Rule:
    return lambda r: r.call(kind(), r.input(0))


def _leaky(r: Reader) -> fx.Node:
    return r.call(nn.LeakyReLU(float(r.attribute("alpha", 0.01))), r.input(0))


def _elu(r: Reader) -> fx.Node:
    return _scaled_elu(r, float(r.attribute("alpha", 1.0)), 1.0, 1.0)


def _celu(r: Reader) -> fx.Node:
    alpha = float(r.attribute("alpha", 1.0))
    return _scaled_elu(r, alpha, 1 / alpha, 1.0)


def _selu(r: Reader) -> fx.Node:
    alpha, gamma = (
        float(r.attribute(name, value))
        for name, value in zip(("alpha", "gamma"), _SELU, strict=True)
    )
    return _scaled_elu(r, alpha, 1.0, gamma)


def _scaled_elu(r: Reader, alpha: float, inner: float, gamma: float) -> fx.Node:
    """Append gamma (relu(x) + alpha elu(inner min(x, 0)))."""
    x = r.input(0)
    if (alpha, inner, gamma) == (1.0, 1.0, 1.0):
        return r.call(nn.ELU(), x)
    low = r.function(torch.minimum, x, _one(r, 0.0))
    if inner != 1.0:
        low = r.function(operator.mul, low, _one(r, inner))
    low = r.call(nn.ELU(), low, mark="_elu")
    low = r.function(operator.mul, low, _one(r, alpha * gamma))
    high = r.call(nn.ReLU(), x, mark="_relu")
    if gamma != 1.0:
        high = r.function(operator.mul, high, _one(r, gamma))
    return r.function(operator.add, high, low)


def _clip(r: Reader) -> fx.Node:
    x = r.input(0)
    for index, function in ((1, torch.maximum), (2, torch.minimum)):
        if r.has(index) and not r.is_stored(index):
            x = r.function(function, x, r.input(index))
    low, high = (_bound(r, name, index) for name, index in (("min", 1), ("max", 2)))
    if (low, high) == (None, None):
        return x
    if r.dtype(0) not in ("float32", ""):
        why = f"clips {r.dtype(0)}"
        raise Refused(why)
    if (low, high) == (0.0, None):
        return r.call(nn.ReLU(), x)
    if (low, high) == (0.0, 6.0):
        return r.call(nn.ReLU6(), x)
    return r.function(torch.clamp, x, low, high)


def _bound(r: Reader, name: str, index: int) -> float | None:
    """Return one bound; old opsets have attributes, and the largest float is no bound."""
    if r.has(index) and not r.is_stored(index):
        return None
    values = r.stored(index)
    if values is None:
        value = r.attribute(name)
        return None if value is None or abs(value) >= np.finfo(np.float32).max else float(value)
    if values.size != 1:
        why = f"its bound {name} has {values.size} values"
        raise Refused(why)
    value = float(values.reshape(-1)[0])
    return None if abs(value) >= np.finfo(np.float32).max else value


def _hard_sigmoid(r: Reader) -> fx.Node:
    alpha, beta = float(r.attribute("alpha", 0.2)), float(r.attribute("beta", 0.5))
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return r.call(nn.Hardsigmoid(), r.input(0))
    scaled = r.function(operator.mul, r.input(0), _one(r, alpha))
    return r.function(torch.clamp, r.function(operator.add, scaled, _one(r, beta)), 0.0, 1.0)


def _gelu(r: Reader) -> fx.Node:
    form = r.attribute("approximate", "none")
    if form not in ("none", "tanh"):
        why = f"approximates with {form:.20}"
        raise Refused(why)
    return r.call(nn.GELU(form), r.input(0))


def _swish(r: Reader) -> fx.Node:
    x, alpha = r.input(0), float(r.attribute("alpha", 1.0))
    if alpha == 1.0:
        return r.call(nn.SiLU(), x)
    gate = r.call(nn.Sigmoid(), r.function(operator.mul, x, _one(r, alpha)))
    return r.function(operator.mul, x, gate)


def _softplus(r: Reader) -> fx.Node:
    """Append relu(x) + log(1 + exp(-|x|)), which does not overflow."""
    x = r.input(0)
    small = r.function(torch.exp, r.function(torch.neg, r.function(torch.abs, x)))
    rest = r.function(torch.log, r.function(operator.add, small, _one(r, 1.0)))
    return r.function(operator.add, r.call(nn.ReLU(), x), rest)


def _softsign(r: Reader) -> fx.Node:
    x = r.input(0)
    size = r.function(operator.add, r.function(torch.abs, x), _one(r, 1.0))
    return r.function(operator.truediv, x, size)


def _erf(r: Reader) -> fx.Node:
    """Append the error function by way of gelu(a) = a / 2 (1 + erf(a / sqrt(2))).

    The sign is kept apart, and |x| is at least a tiny number, below which erf is linear.
    """
    x = r.input(0)
    size = r.function(torch.maximum, r.function(torch.abs, x), _one(r, 1e-3))
    wide = r.function(operator.mul, size, _one(r, math.sqrt(2)))
    ratio = r.function(operator.truediv, r.call(nn.GELU(), wide, mark="_gelu"), wide)
    double = r.function(operator.mul, ratio, _one(r, 2.0))
    positive = r.function(operator.add, double, _one(r, -1.0))
    return r.function(operator.mul, positive, r.function(operator.truediv, x, size))


def _thresholded(r: Reader) -> fx.Node:
    x = r.input(0)
    above = r.function(torch.gt, x, _one(r, float(r.attribute("alpha", 1.0))))
    return r.function(operator.mul, x, r.function(functions.cast, above, torch.float32))


def _prelu(r: Reader) -> fx.Node:
    if r.is_stored(1) and r.weights(1).size == 1 and r.weights(1).ndim <= len(r.shape(0)):
        return r.call(nn.LeakyReLU(float(r.weights(1).reshape(-1)[0])), r.input(0))
    if not r.is_stored(1):
        why = "its slope is computed"
        raise Refused(why)
    return r.function(functions.prelu, r.input(0), r.input(1))


def _cast(r: Reader) -> fx.Node:
    import onnx

    r.skip("saturate", "round_mode")  # of 8-bit floats, which are refused
    number = r.attribute("to")
    kind = str(onnx.helper.tensor_dtype_to_np_dtype(number))
    if kind not in DTYPES:
        why = f"converts to {kind}"
        raise Refused(why)
    if r.dtype(0) == kind:
        return r.input(0)
    return r.function(functions.cast, r.input(0), DTYPES[kind])


def _pass(r: Reader) -> fx.Node:
    return r.input(0)


def _dropout(r: Reader) -> fx.Node:
    r.skip("ratio", "seed")
    r.stored(1)
    training = r.stored(2)
    if r.attribute("is_test", 1) == 0 or (training is not None and bool(training.any())):
        why = "drops at random, as in training"
        raise Refused(why)
    return r.input(0)


POINTWISE: Final[dict[str, Rule]] = {
    "Add": _binary(operator.add),
    "Sub": _binary(operator.sub),
    "Mul": _product,
    "Div": _divide,
    "Pow": _power,
    "Sum": _folded(operator.add),
    "Max": _folded(torch.maximum),
    "Min": _folded(torch.minimum),
    "Mean": _mean,
    "Equal": _binary(torch.eq),
    "Less": _binary(torch.lt),
    "LessOrEqual": _binary(torch.le),
    "Greater": _binary(torch.gt),
    "GreaterOrEqual": _binary(torch.ge),
    "And": _binary(torch.logical_and),
    "Or": _binary(torch.logical_or),
    "Xor": _binary(torch.ne),
    "Not": _unary(torch.logical_not),
    "Where": lambda r: r.function(torch.where, r.input(0), r.input(1), r.input(2)),
    "Sqrt": _unary(torch.sqrt),
    "Exp": _unary(torch.exp),
    "Log": _unary(torch.log),
    "Neg": _unary(torch.neg),
    "Abs": _unary(torch.abs),
    "Floor": _unary(torch.floor),
    "Ceil": _unary(torch.ceil),
    "Round": _unary(torch.round),
    "Sin": _unary(torch.sin),
    "Cos": _unary(torch.cos),
    "Sign": _unary(torch.sign),
    "Reciprocal": _unary(torch.reciprocal),
    "Erf": _erf,
    "Relu": _module(nn.ReLU),
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "Elu": _elu,
    "Celu": _celu,
    "Selu": _selu,
    "ThresholdedRelu": _thresholded,
    "Sigmoid": _module(nn.Sigmoid),
    "HardSigmoid": _hard_sigmoid,
    "Tanh": _module(nn.Tanh),
    "HardSwish": _module(nn.Hardswish),
    "Gelu": _gelu,
    "Mish": _module(nn.Mish),
    "Swish": _swish,
    "Softplus": _softplus,
    "Softsign": _softsign,
    "Clip": _clip,
    "Cast": _cast,
    "Identity": _pass,
    "Dropout": _dropout,
}
