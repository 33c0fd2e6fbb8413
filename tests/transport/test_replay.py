"""A transcript answers the calls it holds, in their order, and nothing else."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import DataError, DeviceError, TransientDeviceError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.transport.base import connect
from hwnat.transport.local import LocalTransport
from hwnat.transport.replay import RecordingTransport, ReplayTransport


@pytest.fixture
def transcript(tmp_path):
    """Record a program's output and a failed pull."""
    link = RecordingTransport(LocalTransport(), tmp_path / "calls.jsonl")
    link.run(["echo", "1"], timeout_s=5)
    with pytest.raises(DeviceError):
        link.pull("/nothing/here", tmp_path / "x")
    return tmp_path / "calls.jsonl"


def test_a_device_file_leads_to_its_transcript(transcript):
    spec = DeviceSpec(name="x", transport="replay", target="onnx", transcript=str(transcript))
    link = connect(spec)
    assert link.run(["echo", "1"], timeout_s=5).stdout == "1\n"
    assert link.left == 1


def test_a_device_file_without_a_transcript_says_so():
    from hwnat.transport import replay

    with pytest.raises(UsageError, match="set `transcript`"):
        replay.connect(DeviceSpec(name="x", transport="plugin", target="onnx"))


@pytest.mark.parametrize(
    "call",
    [
        lambda link, _: link.run(["echo", "2"], timeout_s=5),
        lambda link, _: link.run(["echo", "1"], timeout_s=6),
        lambda link, path: link.pull("/nothing/here", path),
        lambda link, path: link.push(path, "/there"),
        lambda link, _: link.probe(),
    ],
)
def test_another_call_than_the_recorded_one_is_an_error(transcript, tmp_path, call):
    with pytest.raises(
        DeviceError, match=r"line 2: the recorded call is .*, not .*record it again"
    ):
        call(ReplayTransport(transcript), tmp_path / "x")


def test_a_call_after_the_last_one_is_an_error(transcript, tmp_path):
    link = ReplayTransport(transcript)
    link.run(["echo", "1"], timeout_s=5)
    with pytest.raises(DeviceError, match="nothing/here"):
        link.pull("/nothing/here", tmp_path / "x")
    with pytest.raises(DeviceError, match="ends before the call"):
        link.run(["echo", "1"], timeout_s=5)


def test_a_lost_link_is_lost_again(tmp_path):
    class Lost(LocalTransport):
        def run(self, *_, **__):
            msg = "gone"
            raise TransientDeviceError(msg)

    with pytest.raises(TransientDeviceError):
        RecordingTransport(Lost(), tmp_path / "t").run(["x"], timeout_s=1)
    with pytest.raises(TransientDeviceError, match="gone"):
        ReplayTransport(tmp_path / "t").run(["x"], timeout_s=1)


def test_a_transcript_cut_anywhere_is_refused_or_lacks_whole_calls(transcript, tmp_path):
    text = transcript.read_text()
    cut = tmp_path / "cut"
    for end in {*range(0, len(text), 7), len(text) - 1}:
        cut.write_text(text[:end])
        if text[:end].endswith("\n"):
            assert ReplayTransport(cut).left == text[:end].count("\n") - 1
            continue
        with pytest.raises(DataError, match=re.escape(str(cut))):
            ReplayTransport(cut)


LINES = st.sampled_from(
    [
        {"schema": 1},
        {"schema": 2},
        {"call": {"run": ["echo", "1"], "timeout_s": 5}, "answer": {"stdout": 0}},
        {"call": {"run": ["echo", "1"], "timeout_s": 5}, "answer": None},
        {"call": {"run": ["echo", "1"], "timeout_s": 5}, "error": ["SystemExit", ""]},
        {"call": {"run": ["echo", "1"], "timeout_s": 5}, "error": "x"},
        {"call": 1, "answer": 2},
        [],
    ]
)


@given(st.lists(LINES, max_size=3))
def test_a_damaged_transcript_is_a_clear_error(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("t") / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises((DataError, DeviceError), match=r"t\.jsonl"):
        ReplayTransport(path).run(["echo", "1"], timeout_s=5)


def test_a_pulled_file_that_is_not_one_is_refused(tmp_path):
    lines = [{"schema": 1}, {"call": {"pull": "/a"}, "answer": "@"}]
    (tmp_path / "t").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DataError, match="line 2: holds no file"):
        ReplayTransport(tmp_path / "t").pull("/a", tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UsageError, match="Cannot write transcript"):
        RecordingTransport(LocalTransport(), tmp_path)
