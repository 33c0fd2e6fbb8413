"""Hypothesis strategies by type: `@given(...)` draws any `Space`, `Arch` or `OpSpec`."""

from typing import get_args

import pytest
from hypothesis import strategies as st

from hwnat.records.arch import Arch
from hwnat.records.kinds import Activation, DType, Mode, OperatorKind, fields_of
from hwnat.records.op import OpSpec
from hwnat.records.space import MBV3, MBV3_NANO, MBV3_W10, MBV3_W12, Space

SPACES = (MBV3_W10, MBV3_W12, MBV3, MBV3_NANO)


@st.composite
def archs(draw):
    space = draw(st.from_type(Space))
    bounds = zip(*space.bounds, strict=True)
    genome = draw(st.tuples(*(st.integers(int(low), int(high)) for low, high in bounds)))
    return Arch(space=space, genome=genome)


@st.composite
def blocks(draw):
    kind = draw(st.sampled_from(["mbconv", "convpool", "mix"]))
    width, size = st.integers(1, 999_999), st.integers(1, 999)
    batch, channels, out = draw(size), draw(width), draw(width)
    area = (1, 1) if kind == "mix" else (draw(size), draw(size))
    more = {"act": draw(st.sampled_from(["none", "relu", "hswish", "mish"]))}
    if kind == "mbconv":
        more |= {"kernel": draw(st.sampled_from([1, 3, 5, 7])), "stride": draw(st.integers(1, 2))}
        more |= {"mid_channels": draw(width), "se_channels": draw(st.just(0) | width)}
        more["residual"] = draw(st.booleans())
        if more["residual"]:
            more["stride"], out = 1, channels
    return OpSpec(kind=kind, in_shape=(batch, *area, channels), out_channels=out, **more)


ASCII = st.characters(codec="ascii")
#: What a field of an operator may be; kernels and output sizes are kept from their defaults.
FIELDS = {
    "out_channels": st.integers(1, 999).map(lambda n: 12 * n),
    "kernel": st.integers(1, 11),
    "stride": st.integers(1, 4),
    "act": st.sampled_from(get_args(Activation)[1:]),
    "mode": st.sampled_from(get_args(Mode)[1:]),
    "operands": st.integers(1, 9),
    "groups": st.sampled_from([1, 2, 3, 4, 6, 12]),
    "dilation": st.integers(1, 4),
    "kernel_w": st.integers(12, 15),
    "out_hw": st.tuples(st.integers(1000, 2000), st.integers(1, 9)),
    "broadcast": st.booleans(),
    "tail": st.integers(0, 5),
    "mid_channels": st.integers(1, 999),
    "stride_w": st.integers(5, 7),
    "dilation_w": st.integers(5, 7),
    "weights": st.sampled_from(get_args(DType)),
    "form": st.from_regex(r"[A-Za-z0-9-]{1,64}\.[0-9a-f]{16}", fullmatch=True, alphabet=ASCII),
}


@st.composite
def operators(draw):
    kind = draw(st.sampled_from(get_args(OperatorKind)))
    size = st.integers(1, 999)
    always, optional = fields_of(kind)
    said = {*always, *draw(st.sets(st.sampled_from(optional)) if optional else st.just(set()))}
    channels = 12 if kind == "dwconv" else 12 * draw(size)
    more = {field: draw(FIELDS[field]) for field in sorted(said - {"residual"})}
    if "residual" in said and more.get("out_channels", channels) == channels:
        more["residual"] = more.get("stride", 1) == 1 and "out_hw" not in more
    types = [name for name in get_args(DType) if name != more.get("weights")]
    dtype = draw(st.sampled_from(types))
    shape = (draw(size), draw(size), draw(size), channels)
    return OpSpec(kind=kind, in_shape=shape, dtype=dtype, **more)


st.register_type_strategy(Space, st.sampled_from(SPACES))
st.register_type_strategy(Arch, archs())
st.register_type_strategy(OpSpec, blocks() | operators())


@pytest.fixture(params=SPACES, ids=lambda space: space.name)
def space(request):
    return request.param
