"""Outputs that were cut or changed on their way: right values or a clear error, nothing else.

What "right" means. Of a cut output: an error, unless the mark of its format is in what is left
(`MARKS`); then every field is that of the whole output, or empty, and operators are its first
ones. Of changed bytes: an error, or a record whose times are above zero and in order, in which
what the format prints twice (`TWICE`) is that of the whole output, to the rounding with which it is
printed. A digit of a number that is printed once can change unseen; the hash from the device
finds that, and then every change is an error.
"""

import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnat.device.runners.logs import RuntimeLog, parse_log
from hwnat.errors import DataError, HwnatError

OWN = sorted(path.name for path in (Path(__file__).parents[3] / "data/runtime_logs").iterdir())
SHARED = [
    "benchmark_detailed_counters_report.json", "benchmark_litert_model.stderr.txt",
    "benchncnn.stderr.txt", "bm_litert2_gpu_partial_slow.txt", "bm_litert2_xnnpack_opprofile.txt",
    "bm_new_profile.csv", "bm_old_profile.csv", "bm_op_profile.pb", "bm_result.pb",
    "bm_tf1.14.txt", "bm_tf2.4_opprofile.txt", "litert_benchmark_py.json",
    "litert_capi_profile_arm64.txt", "openvino_benchmark_app.txt",
    "openvino_benchmark_report.json", "ort_perf_test.txt", "qnn_htp_emulator_profile.csv",
    "rknn_build_rk3588_cycles.txt", "scalesim_COMPUTE_REPORT.csv", "vela_per-layer.csv",
    "vela_summary.csv",
]  # fmt: skip
#: How many runs or layers the caller asked for, in formats whose parts look like wholes.
ASKED = {
    "qnn.csv": 3, "qnn_htp_emulator_profile.csv": 2,
    "scalesim.csv": 2, "scalesim_COMPUTE_REPORT.csv": 3,
}  # fmt: skip
_PROFILE = r"Regular Benchmark Runs:\n[\s\S]*?\d+ nodes observed\n"
#: What must be left of a cut output for it to be taken; other formats are taken whole only.
MARKS = {
    **dict.fromkeys(("tf1.txt", "bm_tf1.14.txt"), r"\nAverage inference timings in us: .*\n"),
    **dict.fromkeys(("litert_none.txt", "bm_litert2_gpu_partial_slow.txt"),
                    r"Memory footprint delta .*\n"),
    "litert_gpu_full.txt": r"Overall peak memory footprint .*\n",
    **dict.fromkeys(("tf2_profile.txt", "litert_profile.txt", "profile.csv", "profile_start.csv",
                     "bm_tf2.4_opprofile.txt", "bm_litert2_xnnpack_opprofile.txt",
                     "bm_old_profile.csv", "bm_new_profile.csv",
                     "litert_capi_profile_arm64.txt"), _PROFILE),
    "capi_summary.txt": r"\n3 nodes observed\n",
    **dict.fromkeys(("litert_model.txt", "benchmark_litert_model.stderr.txt"), r" ={30,}\n"),
    **dict.fromkeys(("rknn.txt", "rknn_build_rk3588_cycles.txt"),
                    r"OutputOperator:y *\n.* -{40,}\n"),
    "vela.txt": r"\nBatch Inference time .*\n",
    "vela_cpu.txt": r"NPU operators = 0 .*\n",
}  # fmt: skip
_SUMMARY = ("inference.avg_ns", "warmup.avg_ns", "init_ns", "first_ns")
#: Fields that are printed twice, and by how many nanoseconds rows of operators may be off.
TWICE = {
    "tf1.txt": (_SUMMARY, None), "bm_tf1.14.txt": (_SUMMARY, None),
    "litert_none.txt": (("inference.avg_ns", "init_ns"), None),
    "litert_gpu_full.txt": (_SUMMARY, None),
    "bm_litert2_gpu_partial_slow.txt": (_SUMMARY, None),
    "tf2_profile.txt": (_SUMMARY, 2_000), "bm_tf2.4_opprofile.txt": (_SUMMARY, 2_000),
    "litert_profile.txt": (_SUMMARY, None),
    "bm_litert2_xnnpack_opprofile.txt": (_SUMMARY, 2_000),
    "litert_capi_profile_arm64.txt": (_SUMMARY, 8_000),
    "profile.csv": ((), 2_000), "profile_start.csv": ((), 2_000),
    "bm_old_profile.csv": ((), 4_000), "bm_new_profile.csv": ((), 4_000),
    "profile.pb": ((), 1_000), "bm_op_profile.pb": ((), 1_000),
    "ort.txt": (("inference.avg_ns", "inference.count"), None),
    "ort_perf_test.txt": (("inference.avg_ns", "inference.count"), None),
    "openvino_counters.json": ((), 2_500),
    "benchmark_detailed_counters_report.json": ((), 9_500),
    "vela_summary.csv": (("estimate",), None),
    "vela_layers.csv": (("estimate.cycles",), 0), "vela_per-layer.csv": (("estimate.cycles",), 0),
}  # fmt: skip


def files(test):
    return pytest.mark.parametrize("name", [*OWN, *(f"shared/{name}" for name in SHARED)])(test)


@pytest.fixture
def raw(name, runtime_logs, request):
    if not name.startswith("shared/"):
        return (runtime_logs / name).read_bytes()
    shared = request.getfixturevalue("shared_data")
    return (shared / "runtime-logs" / name.removeprefix("shared/")).read_bytes()


def attempt(name, raw):
    """Return the record, or None for an error of ours; any other exception fails the test."""
    name = name.removeprefix("shared/")
    try:
        return parse_log(raw, where=name, expected=ASKED.get(name))
    except HwnatError as refused:
        message = str(refused)
    assert name in message
    return None


def field(log, path):
    for name in path.split("."):
        log = getattr(log, name, None)
    return log


def check_part(part, whole):
    """Check that `part` has what `whole` has, and less of it at most."""
    for name in RuntimeLog.__dataclass_fields__:
        ours, theirs = getattr(part, name), getattr(whole, name)
        if name in ("ops", "left_out"):
            assert ours == theirs[: len(ours)]
        elif name in ("inference", "warmup", "estimate", "init_ns", "first_ns", "delegates"):
            assert ours == theirs, name
        else:
            assert ours in (theirs, None), name


@files
def test_a_cut_output_is_an_error_or_says_what_the_whole_one_says(name, raw):
    whole = attempt(name, raw)
    mark = MARKS.get(name.removeprefix("shared/"))
    ends = {match.end() for match in re.finditer(rb"\n", raw)}
    ends |= {end - 1 for end in ends}
    if len(raw) < 1_000:
        ends = set(range(len(raw)))
    for end in sorted(ends - {len(raw)}):
        part = attempt(name, raw[:end])
        if part is None:
            continue
        assert mark is not None, raw[:end][-80:]
        assert re.search(mark, raw[:end].decode()), raw[:end][-80:]
        check_part(part, whole)


def damaged(raw, changes):
    changed = bytearray(raw)
    for place, flip in changes:
        changed[place % len(raw)] ^= flip
    return bytes(changed)


CHANGES = st.lists(
    st.tuples(st.integers(0, 2**20), st.integers(1, 255)), min_size=1, max_size=3
).filter(lambda changes: len({place for place, _ in changes}) == len(changes))
#: Bits that turn one digit into another, which no check of the text's form finds.
DIGITS = st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 7)), min_size=1, max_size=1)


@files
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=CHANGES | DIGITS)
def test_a_changed_output_is_an_error_or_holds_what_was_printed_twice(name, raw, changes):
    changed = damaged(raw, changes)
    log = attempt(name, changed)
    if log is not None:
        check_twice(name.removeprefix("shared/"), log, attempt(name, raw))
    if changed != raw:
        with pytest.raises(DataError, match="another SHA-256"):
            parse_log(changed, sha256=hashlib.sha256(raw).hexdigest())


def check_twice(name, log, whole):
    paths, off_ns = TWICE.get(name, ((), None))
    for path in paths:
        ours, theirs = field(log, path), field(whole, path)
        if isinstance(theirs, int) and not path.endswith(("count", "cycles")):
            assert ours == pytest.approx(theirs, rel=3e-5), path
        else:
            assert ours == theirs, path
    if off_ns is None:
        return
    assert len(log.ops) == len(whole.ops)
    for ours, theirs in zip(log.ops, whole.ops, strict=True):
        assert abs((ours.avg_ns or 0) - (theirs.avg_ns or 0)) <= off_ns
        assert ours.cycles == theirs.cycles
        assert ours.table == theirs.table


@pytest.mark.parametrize("name", ["tf2_profile.txt", "profile.csv", "vela_layers.csv", "ort.txt"])
def test_every_digit_that_is_changed_is_noticed_or_harmless(name, raw):
    """All changes of one digit by one, not a sample of them."""
    whole = attempt(name, raw)
    for place, byte in enumerate(raw):
        if chr(byte).isdigit():
            log = attempt(name, damaged(raw, [(place, 1)]))
            if log is not None:
                check_twice(name, log, whole)


@pytest.mark.parametrize("name", ["tf2_profile.txt", "profile.csv", "qnn.csv", "rknn.txt"])
def test_lines_in_another_order_or_twice_are_an_error_or_change_nothing(name, raw):
    whole = attempt(name, raw)
    lines = raw.splitlines(keepends=True)
    for index in range(len(lines) - 1):
        swapped = [*lines[:index], lines[index + 1], lines[index], *lines[index + 2 :]]
        twice = [*lines[: index + 1], *lines[index:]]
        for changed in (swapped, twice):
            log = attempt(name, b"".join(changed))
            if log is not None:
                assert (log.inference, log.estimate) == (whole.inference, whole.estimate)
                assert {op.name: op.avg_ns for op in log.ops} == {
                    op.name: op.avg_ns for op in whole.ops
                }


@given(st.binary(max_size=400) | st.text(max_size=400))
def test_anything_else_is_an_error(raw):
    assert attempt("noise", raw) is None
