"""Hypothesis strategies by type: `@given(...)` draws any `Space`, `Arch` or `OpSpec`."""

import pytest
from hypothesis import strategies as st

from hwnat.records.arch import Arch
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
def operations(draw):
    kind = draw(st.sampled_from(["conv", "mbconv", "convpool", "mix", "linear"]))
    width, size = st.integers(1, 999_999), st.integers(1, 999)
    batch, channels, out = draw(size), draw(width), draw(width)
    area = (1, 1) if kind in ("mix", "linear") else (draw(size), draw(size))
    more = {}
    if kind in ("conv", "mbconv"):
        more |= {"kernel": draw(st.sampled_from([1, 3, 5, 7])), "stride": draw(st.integers(1, 2))}
    if kind != "linear":
        more["act"] = draw(st.sampled_from(["none", "relu", "hswish", "mish"]))
    if kind == "mbconv":
        more |= {"mid_channels": draw(width), "se_channels": draw(st.just(0) | width)}
        more["residual"] = draw(st.booleans())
        if more["residual"]:
            more["stride"], out = 1, channels
    dtype = draw(st.sampled_from(["float32", "float16", "int8"]))
    shape = (batch, *area, channels)
    return OpSpec(kind=kind, in_shape=shape, out_channels=out, dtype=dtype, **more)


st.register_type_strategy(Space, st.sampled_from(SPACES))
st.register_type_strategy(Arch, archs())
st.register_type_strategy(OpSpec, operations())


@pytest.fixture(params=SPACES, ids=lambda space: space.name)
def space(request):
    return request.param
