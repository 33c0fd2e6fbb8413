"""The output of `benchmark_model` in all generations: read whole, or refused."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnat.device.runners.logs.benchmark_model import read_benchmark_model
from hwnat.device.runners.logs.record import Delegation, ModelLog, Runs
from hwnat.errors import DataError, DeviceError


def runs(count, least, average, most, **more):
    return Runs(count=count, min_ns=least, avg_ns=average, max_ns=most, **more)


def same(count, ns):
    return runs(count, ns, ns, ns, median_ns=ns, p95_ns=ns)


TF2 = runs(20, 998_000, 1_009_250, 1_033_000, std_ns=9_000)
TF2_WARM = runs(12, 1_004_000, 1_290_500, 4_300_000, std_ns=901_000)
LITERT = runs(
    20, 998_000, 1_009_250, 1_033_000, std_ns=9_000, median_ns=1_008_000, p95_ns=1_031_000
)
LITERT_WARM = runs(
    12, 1_004_000, 1_290_500, 4_300_000, std_ns=901_000, median_ns=1_012_000, p95_ns=4_300_000
)
FOOTPRINT = {"init_memory_bytes": 2_621_440, "overall_memory_bytes": 7_602_176}
LOGS = {
    "tf1.txt": ModelLog(
        inference=runs(122, 8_090_000, 8_210_250, 8_402_000, std_ns=52_000),
        warmup=runs(61, 8_111_000, 8_244_500, 9_120_000, std_ns=160_000),
        init_ns=3_207_000,
        first_ns=None,
    ),
    "tf2_profile.txt": ModelLog(
        inference=TF2, warmup=TF2_WARM, init_ns=1_911_000, first_ns=4_300_000, **FOOTPRINT
    ),
    "litert_profile.txt": ModelLog(
        inference=LITERT,
        warmup=LITERT_WARM,
        init_ns=12_505_000,
        first_ns=4_300_000,
        delegates=(Delegation(name="XNNPACK", extent="partial", kernels=2),),
        **FOOTPRINT,
    ),
    "litert_gpu_full.txt": ModelLog(
        inference=same(20, 1_900_000_000),
        warmup=same(1, 2_000_123_000),
        init_ns=1_502_331_000,
        first_ns=2_000_123_000,
        delegates=(Delegation(name="GPU", extent="full"),),
        peak_memory_bytes=101_187_584,
        **FOOTPRINT,
    ),
    "litert_none.txt": ModelLog(
        inference=LITERT,
        warmup=None,
        init_ns=900_000,
        first_ns=None,
        delegates=(Delegation(name="NNAPI", extent="none", kernels=0),),
        **FOOTPRINT,
    ),
}
#: The line that completes an output.
LAST = {
    "tf1.txt": "Average inference timings in us: ",
    "tf2_profile.txt": "Memory footprint delta ",
    "litert_profile.txt": "Memory footprint delta ",
    "litert_gpu_full.txt": "Overall peak memory footprint ",
    "litert_none.txt": "Memory footprint delta ",
}
RUNS = {"count": 50, "min_ns": 4_904_000, "avg_ns": 5_069_460, "max_ns": 5_224_000}
WARM = {"count": 91, "min_ns": 4_590_000, "avg_ns": 5_156_010, "max_ns": 8_105_000}
PUBLISHED_FOOTPRINT = {"init_memory_bytes": 1_744_893, "overall_memory_bytes": 5_492_735}
PUBLISHED = {
    "bm_tf1.14.txt": ModelLog(
        inference=Runs(**RUNS, std_ns=71_000),
        warmup=Runs(**WARM, std_ns=348_000),
        init_ns=4_183_000,
        first_ns=None,
    ),
    "bm_tf2.4_opprofile.txt": ModelLog(
        inference=Runs(**RUNS, std_ns=71_000),
        warmup=Runs(**WARM, std_ns=348_000),
        init_ns=2_213_000,
        first_ns=8_105_000,
        **PUBLISHED_FOOTPRINT,
    ),
    "bm_litert2_xnnpack_opprofile.txt": ModelLog(
        inference=Runs(**RUNS, std_ns=71_000, median_ns=5_071_000, p95_ns=5_179_000),
        warmup=Runs(**WARM, std_ns=348_000, median_ns=5_124_000, p95_ns=5_449_000),
        init_ns=2_213_000,
        first_ns=8_105_000,
        delegates=(Delegation(name="XNNPACK", extent="partial", kernels=1),),
        **PUBLISHED_FOOTPRINT,
    ),
    "bm_litert2_gpu_partial_slow.txt": ModelLog(
        inference=runs(
            3,
            2_310_044_000,
            2_352_280_000,
            2_401_122_000,
            std_ns=37_474_000,
            median_ns=2_345_678_000,
            p95_ns=2_401_122_000,
        ),
        warmup=same(1, 3_456_789_000),
        init_ns=870_557_000,
        first_ns=3_456_789_000,
        delegates=(Delegation(name="GPU", extent="partial", kernels=1, cpu_operators=4),),
        init_memory_bytes=118_231_138,
        overall_memory_bytes=137_367_650,
        peak_memory_bytes=166_059_835,
    ),
    "litert_capi_profile_arm64.txt": ModelLog(
        inference=runs(
            5,
            18_316_000,
            20_036_800,
            23_941_000,
            std_ns=2_089_000,
            median_ns=19_114_000,
            p95_ns=23_941_000,
        ),
        warmup=same(1, 80_836_000),
        init_ns=218_149_000,
        first_ns=80_836_000,
        init_memory_bytes=99_618_809,
        overall_memory_bytes=99_618_809,
    ),
}


@pytest.fixture
def text_of(runtime_logs):
    return lambda name: (runtime_logs / name).read_text()


def read(text):
    return read_benchmark_model(text, where="pixel")


@pytest.mark.parametrize("name", LOGS)
def test_every_generation_is_read_to_the_last_field(name, text_of):
    text = text_of(name)
    assert read(text) == LOGS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_outputs_of_the_genuine_tool_are_read(name, shared_data):
    assert read((shared_data / "runtime-logs" / name).read_text()) == PUBLISHED[name]


def test_line_ends_of_windows_and_terminals_change_nothing(text_of):
    text = text_of("tf2_profile.txt")
    assert read(text.replace("\n", "\r\n")) == LOGS["tf2_profile.txt"]
    assert read(text.replace("\n", "\r\r\n")) == LOGS["tf2_profile.txt"]


@pytest.mark.parametrize("name", LOGS)
def test_a_cut_output_is_refused_until_its_last_line_has_ended(name, text_of):
    text = text_of(name)
    complete = text.index("\n", text.index(LAST[name])) + 1
    ends = [match.end() for match in re.finditer("\n", text)]
    assert complete in ends
    for end in ends:
        if end >= complete:
            assert read(text[:end]) == LOGS[name]
            continue
        for cut in (text[:end], text[: end - 1]):
            with pytest.raises(DataError, match=r"^pixel: "):
                read(cut)


#: Values that are printed twice, each with the text around one of its digits.
TWICE = [
    ("tf1.txt", "avg=8210.2"),
    ("tf1.txt", "no stats: 8210"),
    ("tf1.txt", "3.207"),
    ("tf1.txt", "Init: 3207"),
    ("tf2_profile.txt", "Inference (avg): 1009"),
    ("tf2_profile.txt", "avg=1290"),
    ("tf2_profile.txt", "First inference: 4300"),
    ("tf2_profile.txt", "first=4300"),
    ("litert_none.txt", "Init: 900"),
]


@pytest.mark.parametrize(("name", "part"), TWICE)
def test_a_changed_digit_of_a_value_that_is_printed_twice_is_refused(name, part, text_of):
    text = text_of(name)
    assert text.count(part) == 1
    assert part[-1].isdigit()
    changed = part[:-1] + str((int(part[-1]) + 1) % 10)
    with pytest.raises(DataError, match=r"^pixel: "):
        read(text.replace(part, changed))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("tf1.txt", "min=8090", "min=0"),
        ("tf1.txt", "avg=8210.25", "avg=nan"),
        ("tf1.txt", "avg=8210.25", "avg=-8210.25"),
        ("tf1.txt", "max=8402", "max=8102"),
        ("tf1.txt", "std=52", "std=520000"),
        ("tf2_profile.txt", "count=20", "count=20" + "9" * 25),
        ("tf2_profile.txt", "count=20", "count=20" + "9" * 5_000),
        ("litert_gpu_full.txt", "avg): 1.9e+06", "avg): 1.9e+36"),
        ("litert_gpu_full.txt", "avg): 1.9e+06", "avg): 1" + "9" * 5_000),
        ("litert_gpu_full.txt", "completely", "entirely"),
    ],
)
def test_impossible_values_are_refused(name, old, new, text_of):
    text = text_of(name)
    assert old in text
    with pytest.raises(DataError, match=r"^pixel: "):
        read(text.replace(old, new))


@settings(max_examples=200)
@given(data=st.data())
def test_a_damaged_output_is_refused_or_has_sound_values(runtime_logs, data):
    name = data.draw(st.sampled_from(sorted(LOGS)))
    raw = bytearray((runtime_logs / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        log = read(raw.decode(errors="replace"))
    except (DataError, DeviceError) as refused:
        assert str(refused).startswith("pixel: ")  # noqa: PT017
        return
    whole = LOGS[name]
    assert log.inference.avg_ns == pytest.approx(whole.inference.avg_ns, rel=3e-5)
    assert log.init_ns == pytest.approx(whole.init_ns, rel=3e-5)


@given(st.text(max_size=400))
def test_anything_else_is_refused(text):
    with pytest.raises((DataError, DeviceError), match=r"^pixel: "):
        read(text)


def test_two_outputs_in_one_are_refused(text_of):
    text = text_of("tf1.txt")
    with pytest.raises(DataError, match="several runs"):
        read(text + text)


def test_fewer_runs_than_requested_are_refused(text_of):
    text = text_of("tf1.txt")
    assert read_benchmark_model(text, where="pixel", runs=122) == LOGS["tf1.txt"]
    with pytest.raises(DataError, match="122 runs, 123 were requested"):
        read_benchmark_model(text, where="pixel", runs=123)


def test_escape_sequences_are_refused_and_not_repeated(text_of):
    text = text_of("tf2_profile.txt")
    with pytest.raises(DataError, match="line 44 of the output") as raised:
        read(text.replace("[sum]", "[\x1b]0;gone\x07sum]"))
    assert "\x1b" not in str(raised.value)


def test_an_oversized_output_is_refused_by_its_limit():
    with pytest.raises(DataError, match=r"4,194,305 characters; the limit is 4,194,304"):
        read("x" * (4 * 2**20 + 1))
