"""Random ONNX graphs of 3 to 12 operators, with attributes that real exporters seldom write.

Nearly every graph is a valid model of a random operator set; ONNX Runtime refuses the others. Sizes
are tiny, so that hundreds of graphs are converted in a minute.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSETS = (9, 11, 12, 13, 17, 18, 20, 21)
NUMBERS = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "int32": TensorProto.INT32}


class Draft:
    """A graph under construction; `values` maps a float value to its shape."""

    def __init__(self, rng):
        self.rng = rng
        self.opset = int(rng.choice(OPSETS))
        self.nodes, self.stored, self.values, self.tokens = [], [], {}, []
        self.inputs = []

    def integer(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability):
        return bool(self.rng.random() < probability)

    def one_of(self, *options):
        return options[self.integer(0, len(options) - 1)]

    def store(self, values):
        name = f"c{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def weights(self, *shape):
        fan = max(1, int(np.prod(shape[1:])))
        return self.floats(self.rng.standard_normal(shape) / np.sqrt(fan))

    def ints(self, values):
        return self.store(np.asarray(values, np.int64))

    def floats(self, values):
        return self.store(np.asarray(values, np.float32))

    def pick(self, *ranks, size=4096):
        """Return a value of one of the given ranks; any rank if none is given."""
        fitting = [
            name
            for name, shape in self.values.items()
            if (not ranks or len(shape) in ranks) and np.prod(shape) <= size
        ]
        if not fitting:
            return None
        latest = fitting[-2:]
        return self.one_of(*latest) if self.chance(0.7) else self.one_of(*fitting)

    def add(self, kind, inputs, shapes, **attributes):
        """Append a node; return its outputs. A shape of None is an output that nothing reads."""
        name = f"{kind}_{len(self.nodes)}"
        outputs = [f"v{len(self.nodes)}_{i}" for i in range(len(shapes))]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name, **attributes))
        for output, shape in zip(outputs, shapes, strict=True):
            if shape is not None:
                self.values[output] = tuple(int(size) for size in shape)
        return outputs


def pads_of(g, dims):
    return (
        [g.integer(0, 1) for _ in range(2 * dims)]
        if g.chance(0.5)
        else [g.integer(0, 1)] * 2 * dims
    )


def windows(g, shape, kernel, stride, dilation, ceil=False):
    """Return attributes of a padding and the output's size; None if nothing would be left."""
    dims = len(shape) - 2
    auto = g.one_of("NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    if max(dilation) > 1:  # ONNX Runtime refuses it for convolutions
        auto = "NOTSET"
    said, out = {}, []
    pads = pads_of(g, dims)
    if auto == "NOTSET":
        said["pads"] = pads
    else:
        said["auto_pad"] = auto
    for i, size in enumerate(shape[2:]):
        reach = (kernel[i] - 1) * dilation[i] + 1
        if auto.startswith("SAME"):
            out.append(-(-size // stride[i]))
            continue
        total = pads[i] + pads[i + dims] if auto == "NOTSET" else 0
        room = size + total - reach
        if room < 0:
            return None
        count = (-(-room // stride[i]) if ceil else room // stride[i]) + 1
        if ceil and (count - 1) * stride[i] >= size + (pads[i] if auto == "NOTSET" else 0):
            count -= 1
        out.append(count)
    return said, out


def conv(g):
    x = g.pick(3, 4)
    if x is None:
        return
    shape = g.values[x]
    dims = len(shape) - 2
    group = g.one_of(1, 1, shape[1], *(k for k in (2,) if shape[1] % 2 == 0))
    out = group * g.integer(1, 2) if group > 1 else g.integer(1, 6)
    kernel = [g.integer(1, 3) for _ in range(dims)]
    stride = [g.integer(1, 2) for _ in range(dims)]
    dilation = [g.integer(1, 2)] * dims if g.chance(0.3) else [1] * dims
    made = windows(g, shape, kernel, stride, dilation)
    if made is None:
        return
    said, size = made
    inputs = [x, g.weights(out, shape[1] // group, *kernel)]
    inputs += [g.weights(out)] if g.chance(0.7) else [""] if g.chance(0.2) else []
    optional = {"kernel_shape": kernel} if g.chance(0.5) else {}
    if group > 1 or g.chance(0.5):
        optional["group"] = group
    if stride != [1] * dims or g.chance(0.5):
        optional["strides"] = stride
    if dilation != [1] * dims or g.chance(0.5):
        optional["dilations"] = dilation
    g.add("Conv", inputs, [(shape[0], out, *size)], **said, **optional)


def deconv(g):
    x = g.pick(3, 4, size=512)
    if x is None:
        return
    shape = g.values[x]
    dims = len(shape) - 2
    kernel, stride = [g.integer(1, 3) for _ in range(dims)], [g.integer(1, 2)] * dims
    dilation = [g.one_of(1, 1, 2)] * dims
    pads = [g.integer(0, 1)] * 2 * dims if g.chance(0.5) else [0] * 2 * dims
    extra = [g.integer(0, stride[0] - 1)] * dims
    group = 2 if shape[1] % 2 == 0 and g.chance(0.3) else 1
    out = g.integer(1, 3)
    size = [
        (n - 1) * s + (k - 1) * d + 1 + e - pads[i] - pads[i + dims]
        for i, (n, s, k, d, e) in enumerate(
            zip(shape[2:], stride, kernel, dilation, extra, strict=True)
        )
    ]
    if min(size) < 1:
        return
    inputs = [x, g.weights(shape[1], out, *kernel)]
    inputs += [g.weights(out * group)] if g.chance(0.5) else []
    more = {"output_padding": extra} if any(extra) else {}
    g.add(
        "ConvTranspose", inputs, [(shape[0], out * group, *size)],
        strides=stride, pads=pads, dilations=dilation, group=group, **more,
    )  # fmt: skip


def pool(g):
    x = g.pick(3, 4)
    if x is None:
        return
    shape = g.values[x]
    dims, average = len(shape) - 2, g.chance(0.5)
    kernel = [g.integer(2, 3) for _ in range(dims)]
    stride = [g.integer(1, 2) for _ in range(dims)]
    dilated = g.opset >= (19 if average else 10) and g.chance(0.2)
    dilation = [2 if dilated else 1] * dims
    ceil = g.opset >= 10 and g.chance(0.3)
    made = windows(g, shape, kernel, stride, dilation, ceil)
    if made is None:
        return
    said, size = made
    said |= {"kernel_shape": kernel, "strides": stride}
    if dilated:
        said["dilations"] = dilation
    if ceil:
        said["ceil_mode"] = 1
    if average and g.chance(0.5):
        said["count_include_pad"] = g.integer(0, 1)
    if not average and g.chance(0.1):
        said["storage_order"] = 1
    shapes = [(shape[0], shape[1], *size)]
    if not average and g.chance(0.1):
        shapes.append(None)
    g.add("AveragePool" if average else "MaxPool", [x], shapes, **said)


def global_pool(g):
    if (x := g.pick(3, 4)) is not None:
        shape = g.values[x]
        kind = g.one_of("GlobalAveragePool", "GlobalMaxPool")
        g.add(kind, [x], [(*shape[:2], *[1] * (len(shape) - 2))])


def norm(g):
    x = g.pick(2, 3, 4)
    if x is None:
        return
    shape = g.values[x]
    channels = shape[1]
    kind = g.one_of("BatchNormalization", "InstanceNormalization", "LayerNormalization", "LRN")
    said = {"epsilon": float(g.one_of(1e-5, 1e-3))} if g.chance(0.5) else {}
    if kind == "BatchNormalization":
        stored = [g.weights(channels) for _ in range(3)]
        stored.append(g.floats(0.5 + g.rng.random(channels)))
        said |= {"momentum": 0.8} if g.chance(0.3) else {}
        if g.opset >= 14 and g.chance(0.1):
            said["training_mode"] = 1
        g.add(kind, [x, *stored], [shape], **said)
    elif kind == "InstanceNormalization" and len(shape) > 2 and np.prod(shape[2:]) > 1:
        g.add(kind, [x, g.weights(channels), g.weights(channels)], [shape], **said)
    elif kind == "LayerNormalization" and g.opset >= 17:
        axis = g.integer(1, len(shape) - 1)
        if np.prod(shape[axis:]) < 2:
            return
        inputs = [x, g.weights(*shape[axis:])] + ([g.weights(*shape[axis:])] * g.integer(0, 1))
        g.add(kind, inputs, [shape], axis=g.one_of(axis, axis - len(shape)), **said)
    elif kind == "LRN" and len(shape) == 4:
        g.add(kind, [x], [shape], size=g.one_of(1, 2, 3, 5), alpha=0.1, bias=1.5)


def activation(g):  # noqa: C901 - one line a kind
    x = g.pick()
    shape = g.values[x]
    kind = g.one_of(
        *("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Sigmoid", "HardSigmoid", "Tanh"),
        *("HardSwish", "Clip", "HardSigmoid"),
        *("Softplus", "Softsign", "Erf", "Gelu", "Mish", "Clip", "PRelu", "ThresholdedRelu", "Neg"),
        *("Abs", "Exp", "Identity", "Dropout", "Floor", "Sin", "Cos", "Sign", "Reciprocal", "Sqrt"),
    )  # fmt: skip
    least = {"HardSwish": 14, "Gelu": 20, "Mish": 18, "Celu": 12, "ThresholdedRelu": 10}
    if g.opset < least.get(kind, 1):
        kind = "Relu"
    said, inputs = {}, [x]
    if kind in ("LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu") and g.chance(0.7):
        said["alpha"] = float(g.one_of(0.1, 0.5, 1.0, 1.5))
    if kind == "Selu" and g.chance(0.5):
        said["gamma"] = 1.2
    if kind == "HardSigmoid" and g.chance(0.7):
        said |= {"alpha": float(g.one_of(1 / 6, 0.2, 0.3)), "beta": float(g.one_of(0.5, 0.4))}
    if kind == "Gelu" and g.chance(0.5):
        said["approximate"] = "tanh"
    if kind == "PRelu":
        slopes = [(1,), shape[-1:], (shape[1], *[1] * (len(shape) - 2)) if len(shape) > 1 else (1,)]
        inputs.append(g.weights(*g.one_of(*slopes)))
    if kind == "Clip":
        low, high = float(g.one_of(0, -1, -0.5)), float(g.one_of(6, 1, 0, 0.5))
        if g.opset < 11:
            said |= {"min": low} if g.chance(0.6) else {}
            said |= {"max": high} if g.chance(0.6) else {}
        else:
            inputs.append(g.floats(low) if g.chance(0.6) else "")
            inputs += [g.floats(high)] if g.chance(0.7) else []
            if inputs[-1] == "":
                inputs.pop()
    if kind == "Exp":  # of bounded values, or the rounding of the input would be magnified
        inputs = [g.add("Tanh", [x], [shape])[0]]
    if kind in ("Sqrt", "Reciprocal"):
        x = g.add("Abs", [x], [shape])[0]
        inputs = [g.add("Add", [x, g.floats(0.5)], [shape])[0]]
    if kind == "Dropout" and g.opset >= 12 and g.chance(0.5):
        inputs.append(g.floats(0.3))
    outputs = [shape, None] if kind == "Dropout" and g.opset >= 10 and g.chance(0.3) else [shape]
    g.add(kind, inputs, outputs, **said)


def partner(g, shape):
    """Return an operand that broadcasts to a shape: computed, stored, or of lower rank."""
    alike = [n for n, s in g.values.items() if len(s) <= len(shape) and _fits(s, shape)]
    if alike and g.chance(0.5):
        return g.one_of(*alike)
    keep = g.integer(0, len(shape))
    size = [n if g.chance(0.6) else 1 for n in shape[len(shape) - keep :]]
    return g.weights(*size)


def _fits(small, shape):
    tail = shape[len(shape) - len(small) :]
    return all(a in (1, b) for a, b in zip(small, tail, strict=True))


def binary(g):
    x = g.pick()
    shape = g.values[x]
    kind = g.one_of("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Pow")
    other = partner(g, shape)
    if kind == "Div":
        size = g.values.get(other)
        if size is None:
            stored = next(t for t in g.stored if t.name == other)
            other = g.floats(np.abs(numpy_helper.to_array(stored)) + 0.5)
        else:
            other = g.add("Exp", [g.add("Tanh", [other], [size])[0]], [size])[0]
    if kind == "Pow":
        g.add(kind, [x, g.floats(g.one_of(2.0, 3.0))], [shape])
        return
    inputs = [x, other] if g.chance(0.7) else [other, x]
    if kind in ("Max", "Min", "Sum", "Mean"):
        inputs += [partner(g, shape) for _ in range(g.integer(0, 2))]
        inputs = inputs[:1] if g.chance(0.05) and inputs[0] == x else inputs
    g.add(kind, inputs, [shape])


def gate(g):
    """A decomposed activation: SiLU, Mish or GELU."""
    x = g.pick()
    shape = g.values[x]
    form = g.one_of("silu", "mish", "gelu")
    if form == "silu":
        g.add("Mul", [x, g.add("Sigmoid", [x], [shape])[0]], [shape])
    elif form == "mish":
        soft = g.add("Softplus", [x], [shape])[0]
        g.add("Mul", [x, g.add("Tanh", [soft], [shape])[0]], [shape])
    else:
        scaled = g.add("Div", [x, g.floats(np.sqrt(2))], [shape])[0]
        erf = g.add("Erf", [scaled], [shape])[0]
        one = g.add("Add", [erf, g.floats(1.0)], [shape])[0]
        half = g.add("Mul", [x, one], [shape])[0]
        g.add("Mul", [half, g.floats(0.5)], [shape])


def compare(g):
    x = g.pick()
    shape = g.values[x]
    kind = g.one_of("Less", "Greater")
    if g.opset < 9:
        return
    name = f"mask{len(g.nodes)}"
    other = g.weights(*[n if g.chance(0.5) else 1 for n in shape])
    g.nodes.append(helper.make_node(kind, [x, other], [name], name))
    g.add("Where", [name, x, partner(g, shape)], [shape])


def matmul(g):
    x = g.pick(2, 3, 4)
    if x is None:
        return
    shape = g.values[x]
    form = g.one_of("stored", "stored", "gemm", "self", "left")
    out = g.integer(1, 6)
    if form == "gemm":
        if len(shape) != 2:
            return
        turned, across = g.chance(0.5), g.chance(0.2)
        rows, inner = shape[::-1] if across else shape
        inputs = [x, g.weights(out, inner) if turned else g.weights(inner, out)]
        bias = g.one_of(None, (out,), (1, out), (rows, out), (1,), (rows, 1))
        inputs += [g.weights(*bias)] if bias else [] if g.opset >= 11 else [g.weights(out)]
        said = {"transB": 1} if turned else {}
        said |= {"transA": 1} if across else {}
        said |= {"alpha": 0.5} if g.chance(0.3) else {}
        said |= {"beta": 2.0} if g.chance(0.3) else {}
        g.add("Gemm", inputs, [(rows, out)], **said)
    elif form == "stored":
        g.add("MatMul", [x, g.weights(shape[-1], out)], [(*shape[:-1], out)])
    elif form == "left":
        g.add("MatMul", [g.weights(out, shape[-2]), x], [(*shape[:-2], out, shape[-1])])
    else:
        perm = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
        turned = g.add("Transpose", [x], [[shape[i] for i in perm]], perm=perm)[0]
        g.add("MatMul", [x, turned], [(*shape[:-1], shape[-2])])


def softmax(g):
    x = g.pick(2, 3, 4)
    if x is None:
        return
    shape = g.values[x]
    said = (
        {}
        if g.chance(0.3)
        else {"axis": g.integer(-len(shape) if g.opset >= 11 else 0, len(shape) - 1)}
    )
    g.add(g.one_of("Softmax", "Softmax", "LogSoftmax"), [x], [shape], **said)


def reshape(g):  # noqa: C901 - one branch a form
    x = g.pick()
    shape = g.values[x]
    form = g.one_of("flatten", "reshape", "squeeze", "unsqueeze", "transpose", "transpose")
    if form == "flatten":
        axis = g.integer(0, len(shape))
        size = int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))
        g.add("Flatten", [x], [size], axis=axis)
    elif form == "reshape":
        total, rank = int(np.prod(shape)), g.integer(1, 4)
        size = []
        for _ in range(rank - 1):
            factors = [k for k in range(1, total + 1) if total % k == 0]
            size.append(g.one_of(*factors))
            total //= size[-1]
        size.append(total)
        wanted = list(size)
        if g.chance(0.4):
            wanted[g.integer(0, rank - 1)] = -1
        elif wanted[0] == shape[0] and g.chance(0.5):
            wanted[0] = 0
        g.add("Reshape", [x, g.ints(wanted)], [size])
    elif form == "squeeze":
        axes = [i for i, size in enumerate(shape) if size == 1]
        if not axes or len(axes) == len(shape):
            return
        size = [n for i, n in enumerate(shape) if i not in axes]
        _with_axes(g, "Squeeze", x, axes, size)
    elif form == "unsqueeze" and len(shape) < 4:
        axis = g.integer(0, len(shape))
        _with_axes(g, "Unsqueeze", x, [axis], [*shape[:axis], 1, *shape[axis:]])
    elif form == "transpose" and len(shape) > 1:
        perm = g.rng.permutation(len(shape)).tolist()
        said = {"perm": perm}
        if g.chance(0.2):
            perm, said = list(range(len(shape)))[::-1], {}
        g.add("Transpose", [x], [[shape[i] for i in perm]], **said)


def _with_axes(g, kind, x, axes, size):
    if g.opset >= 13:
        g.add(kind, [x, g.ints(axes)], [size])
    else:
        g.add(kind, [x], [size], axes=axes)


def join(g):
    x = g.pick(2, 3, 4)
    if x is None:
        return
    shape = g.values[x]
    axis = g.integer(0, len(shape) - 1)
    parts, total = [x], shape[axis]
    for name, size in g.values.items():
        same = len(size) == len(shape) and all(
            a == b for i, (a, b) in enumerate(zip(size, shape, strict=True)) if i != axis
        )
        if same and len(parts) < 3 and g.chance(0.6):
            parts.append(name)
            total += size[axis]
    if g.chance(0.2):
        size = list(shape)
        parts.append(g.weights(*size))
        total += size[axis]
    size = [*shape[:axis], total, *shape[axis + 1 :]]
    if np.prod(size) <= 4096:
        g.add(
            "Concat",
            parts,
            [size],
            axis=g.one_of(axis, axis - len(shape)) if g.opset >= 11 else axis,
        )


def divide(g):
    x = g.pick(2, 3, 4)
    if x is None:
        return
    shape = g.values[x]
    axis = int(np.argmax(shape))
    if shape[axis] < 2:
        return
    first = g.integer(1, shape[axis] - 1)
    sizes = [first, shape[axis] - first]
    shapes = [[*shape[:axis], n, *shape[axis + 1 :]] for n in sizes]
    if g.opset >= 13:
        g.add("Split", [x, g.ints(sizes)], shapes, axis=axis)
    else:
        g.add("Split", [x], shapes, axis=axis, split=sizes)


def cut(g):
    x = g.pick()
    shape = g.values[x]
    axis = g.integer(0, len(shape) - 1)
    size = shape[axis]
    step = g.one_of(1, 1, 2, -1) if g.opset >= 10 else 1
    start, end = (
        (size - 1, -size - 1) if step < 0 else (g.integer(0, size - 1), size + g.integer(0, 3))
    )
    left = len(range(size)[start:end:step])
    out = [[*shape[:axis], left, *shape[axis + 1 :]]]
    if g.opset < 10:
        g.add("Slice", [x], out, starts=[start], ends=[end], axes=[axis])
    else:
        inputs = [x, g.ints([start]), g.ints([end]), g.ints([axis - len(shape) * g.integer(0, 1)])]
        g.add("Slice", inputs + [g.ints([step])] * (step != 1 or g.chance(0.5)), out)


def border(g):
    x = g.pick(2, 3, 4)
    if x is None:
        return
    shape = g.values[x]
    mode = g.one_of("constant", "constant", "reflect", "edge")
    rank = len(shape)
    pads = [g.integer(0, 1) for _ in range(2 * rank)]
    if mode == "reflect":
        pads = [p if n > 1 else 0 for p, n in zip(pads, [*shape, *shape], strict=True)]
    value = float(g.one_of(0, 0.5, -1))
    size = [n + pads[i] + pads[i + rank] for i, n in enumerate(shape)]
    if g.opset < 11:
        g.add("Pad", [x], [size], pads=pads, mode=mode, value=value)
    elif g.opset >= 18 and g.chance(0.3):
        edges = [pads[-1], pads[-1]]
        if mode == "reflect" and shape[-1] < 2:
            return
        size = [*shape[:-1], shape[-1] + 2 * pads[-1]]
        g.add("Pad", [x, g.ints(edges), "", g.ints([-1])], [size], mode=mode)
    else:
        inputs = [x, g.ints(pads)] + ([g.floats(value)] if g.chance(0.5) else [])
        g.add("Pad", inputs, [size], mode=mode)


def gather(g):
    x = g.pick(2, 3, 4)
    if x is None:
        return
    shape = g.values[x]
    axis = g.integer(0, len(shape) - 1)
    low = -shape[axis] if g.opset >= 11 else 0
    form = g.one_of((), (2,), (3,))
    if len(form) + len(shape) - 1 > 4:
        form = ()
    index = g.rng.integers(low, shape[axis], form)
    size = [*shape[:axis], *form, *shape[axis + 1 :]]
    if size:
        g.add("Gather", [x, g.ints(index)], [size], axis=axis)


def embed(g):
    """Rows of a stored table that integers of an input name."""
    if g.tokens:
        return
    dtype = g.one_of("int64", "int32")
    name, size = f"tokens{len(g.nodes)}", (g.integer(1, 2), g.integer(1, 5))
    g.inputs.append((name, dtype, size))
    g.tokens.append(name)
    g.add("Gather", [g.weights(2, 6), name], [(*size, 6)])


def reduce(g):
    x = g.pick(2, 3, 4)
    if x is None:
        return
    shape = g.values[x]
    kind = g.one_of(
        *("ReduceMean", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"),
        *("ReduceL1", "ReduceL2", "ReduceSumSquare"),
    )
    axes = sorted(g.rng.choice(len(shape), g.integer(1, len(shape)), replace=False).tolist())
    keep = g.integer(0, 1)
    size = [1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes]
    if not size:
        return
    if g.opset >= 11 and g.chance(0.3):
        axes = [axis - len(shape) for axis in axes]
    said = {} if keep and g.chance(0.5) else {"keepdims": keep}
    if g.opset >= 18 or (kind == "ReduceSum" and g.opset >= 13):
        g.add(kind, [x, g.ints(axes)], [size], **said)
    else:
        g.add(kind, [x], [size], axes=axes, **said)


def resize(g):
    x = g.pick(4, size=512)
    if x is None:
        return
    shape = g.values[x]
    factor = [float(g.one_of(1, 2, 1.5, 2)) for _ in range(2)]
    size = [*shape[:2], *(int(np.floor(n * f)) for n, f in zip(shape[2:], factor, strict=True))]
    mode = g.one_of("nearest", "nearest", "linear", "cubic" if g.opset >= 11 else "linear")
    scales = g.floats([1, 1, *factor])
    if g.opset < 10:
        g.add("Upsample", [x, scales], [size], mode=mode)
        return
    if g.opset < 11:
        g.add("Resize", [x, scales], [size], mode=mode)
        return
    form = g.one_of("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    said = {"mode": mode, "coordinate_transformation_mode": form}
    if mode == "nearest" and g.chance(0.7):
        said["nearest_mode"] = g.one_of("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    roi = g.floats([]) if g.opset < 13 else ""
    if g.chance(0.4):
        empty = g.floats([]) if g.opset < 13 else ""
        g.add("Resize", [x, roi, empty, g.ints(size)], [size], **said)
    else:
        g.add("Resize", [x, roi, scales], [size], **said)


def blocks(g):
    x = g.pick(4)
    if x is None:
        return
    batch, channels, height, width = g.values[x]
    if channels % 4 == 0:
        said = {"mode": g.one_of("DCR", "CRD")} if g.opset >= 11 and g.chance(0.7) else {}
        size = (batch, channels // 4, 2 * height, 2 * width)
        g.add("DepthToSpace", [x], [size], blocksize=2, **said)
    elif height % 2 == width % 2 == 0:
        g.add("SpaceToDepth", [x], [(batch, 4 * channels, height // 2, width // 2)], blocksize=2)


def spread(g):
    x = g.pick(2, 3, 4, size=256)
    if x is None:
        return
    shape = g.values[x]
    if g.chance(0.5):
        repeats = [g.integer(1, 2) for _ in shape]
        g.add("Tile", [x, g.ints(repeats)], [[a * b for a, b in zip(shape, repeats, strict=True)]])
    else:
        size = [n if n > 1 else g.integer(1, 3) for n in shape]
        g.add("Expand", [x, g.ints(size)], [size])


KINDS = (
    *(conv, conv, conv, deconv, pool, pool, global_pool, norm, norm, activation, activation),
    *(activation, binary, binary, binary, gate, compare, matmul, matmul, softmax, reshape, reshape),
    *(join, divide, cut, border, gather, embed, reduce, reduce, resize, blocks, spread),
)


def random_graph(seed):
    """Return a model; equal seeds give equal models."""
    g = Draft(np.random.default_rng(seed))
    forms = [(1, 4, 7, 6), (1, 3, 8, 8), (2, 4, 5, 5), (1, 4, 9), (1, 6, 8), (2, 5)]
    for index in range(g.one_of(1, 1, 1, 2)):
        name = f"x{index}"
        shape = g.one_of(*forms)
        g.values[name] = shape
        g.inputs.append((name, "float32", shape))
    count = g.integer(3, 12)
    for _ in range(60):
        if len(g.nodes) >= count:
            break
        kind = g.one_of(*KINDS)
        kind(g)
    read = {name for node in g.nodes for name in node.input}
    open_ends = [n for n in g.values if n not in read and not n.startswith("x")]
    inner = [n for n in g.values if n in read and not n.startswith("x")]
    results = open_ends[:3] + ([g.one_of(*inner)] if inner and g.chance(0.2) else [])
    inputs = [
        helper.make_tensor_value_info(name, NUMBERS[dtype], shape)
        for name, dtype, shape in g.inputs
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, g.values[name]) for name in results
    ]
    graph = helper.make_graph(g.nodes, "random", inputs, outputs, g.stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", g.opset)])
    model.ir_version = 8
    return onnx.ModelProto.FromString(model.SerializeToString())
