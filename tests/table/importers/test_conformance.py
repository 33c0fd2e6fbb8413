"""What every importer promises. A new one adds `sample_<its name>.py` with a `SAMPLE` beside this.

A SAMPLE is a dict: `device`; `files`, name to text; `options`, whose values may say `{folder}`;
`beside`, further files that options name; `entries`, canonical key to nanoseconds; `unmapped`, the
foreign keys left out; `planted`, the text of one value, once in one file, and the key it is for;
and `networks`, name of a file or network to nanoseconds, if there are any.
"""

import re
import runpy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnat import plugins
from hwnat.errors import DataError, HwnatError, UsageError
from hwnat.records.op import OpSpec
from hwnat.table.entry import MAX_NS
from hwnat.table.importers.base import (
    GROUP,
    Finding,
    Importer,
    Request,
    Source,
    get_importer,
    import_files,
)

FORMATS = plugins.names(GROUP)
IMPOSSIBLE = ["-1", "0", "0.0", "-0.5", "nan", "inf", "-Infinity", "1e400", "x", "1_0", "\u0661"]
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")


def sample(name):
    path = Path(__file__).with_name(f"sample_{name.replace('-', '_')}.py")
    assert path.is_file(), f"importer {name} has no sample: write {path.name}"
    return runpy.run_path(str(path))["SAMPLE"]


@pytest.fixture(scope="module", params=FORMATS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def given_sample(name):
    return sample(name)


@pytest.fixture(scope="module")
def request_of(given_sample, tmp_path_factory):
    """Build the sample's request: `request_of(lenient=True)`."""
    folder = tmp_path_factory.mktemp("beside")
    for file, text in given_sample.get("beside", {}).items():
        (folder / file).write_text(text)
    options = {
        key: value.format(folder=folder) for key, value in given_sample.get("options", {}).items()
    }
    return lambda **more: Request(device=given_sample["device"], options=options, **more)


@pytest.fixture(scope="module")
def read(name, given_sample, request_of):
    """Read the sample's files, some of them replaced by bytes: `read({"a.yaml": b""})`."""

    def run(changed=(), **more):
        files = {file: text.encode() for file, text in given_sample["files"].items()}
        files |= dict(changed)
        sources = [Source.of(file, content) for file, content in files.items()]
        return get_importer(name).read(sources, request_of(**more))

    return run


def latencies(imported):
    return {key: entry.p50_ns for key, entry in imported.entries.items()}


def refusal(read, changed, **more):
    """Return what reading the changed files is refused with, None if it is not."""
    try:
        assert_sound(read(changed, **more))
    except HwnatError as refused:
        return str(refused)
    return None


def assert_sound(imported):
    for key, entry in imported.entries.items():
        assert OpSpec.from_key(key).key == key
        assert 0 < entry.p10_ns <= entry.p50_ns <= entry.p90_ns < MAX_NS
        assert entry.provenance == "imported"
        assert imported.places[key]
    assert all(imported.unmapped.values())
    assert all(network.measured_ns > 0 for network in imported.networks)


def test_the_built_in_formats_are_registered():
    assert "benchmark-model-csv" in FORMATS


def test_it_is_an_importer_of_its_name(name):
    importer = get_importer(name)
    assert isinstance(importer, Importer)
    assert importer.format == name
    assert importer.unit in ("ns", "us", "ms", "s")
    assert all(key and text for key, text in importer.options.items())


def test_the_sample_becomes_entries_in_nanoseconds(given_sample, read):
    imported = read()
    assert latencies(imported) == given_sample["entries"]
    assert set(imported.unmapped) == set(given_sample["unmapped"])
    totals = {each.name: each.measured_ns for each in imported.networks}
    assert totals == given_sample.get("networks", {})
    assert not [each for each in imported.findings if each.severity == "error"]
    assert_sound(imported)


def test_files_are_read_from_disk_and_their_hashes_kept(name, given_sample, request_of, tmp_path):
    paths = []
    for file, text in given_sample["files"].items():
        paths.append(tmp_path / file)
        paths[-1].write_text(text)
    imported = import_files(name, paths, request_of())
    assert latencies(imported) == given_sample["entries"]
    assert [each.name for each in imported.sources] == [str(path) for path in paths]
    assert {len(each.sha256) for each in imported.sources} == {64}


def test_line_ends_and_a_byte_order_mark_change_nothing(given_sample, read):
    windows = {
        file: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
        for file, text in given_sample["files"].items()
    }
    assert latencies(read(windows)) == given_sample["entries"]


@pytest.mark.parametrize("value", IMPOSSIBLE)
def test_a_value_that_is_no_latency_never_becomes_an_entry(given_sample, read, value):
    text, key = given_sample["planted"]
    (file,) = [file for file, content in given_sample["files"].items() if text in content]
    assert given_sample["files"][file].count(text) == 1
    changed = {file: given_sample["files"][file].replace(text, value).encode()}
    message = refusal(read, changed)
    if message is None:
        imported = read(changed)
        assert key not in imported.entries
        assert imported.unmapped
    else:
        assert file in message
        assert "\n" not in message


@pytest.mark.parametrize("value", ["-1", "-0.5"])
def test_lint_reads_on_after_such_a_value_and_reports_it(given_sample, read, value):
    text, key = given_sample["planted"]
    changed = {
        file: content.replace(text, value).encode()
        for file, content in given_sample["files"].items()
    }
    imported = read(changed, lenient=True)
    assert latencies(imported) == {
        each: ns for each, ns in given_sample["entries"].items() if each != key
    }
    (found,) = [each for each in imported.findings if each.rule == "not-measured"]
    assert isinstance(found, Finding)
    assert found.severity == "error"
    assert found.key
    assert "not measured" in found.message


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"\xff\xfe\x00", b"\x00" * 50, b"{}", b"[]", b"a: b"]
)
def test_other_content_is_refused(given_sample, read, content):
    with pytest.raises(DataError):
        read(dict.fromkeys(given_sample["files"], content))


def test_files_of_the_other_formats_are_refused(name, request_of):
    importer = get_importer(name)
    for other in set(FORMATS) - {name}:
        sources = [Source.of(file, text.encode()) for file, text in sample(other)["files"].items()]
        with pytest.raises(HwnatError):
            importer.read(sources, request_of())


def test_an_unknown_option_and_no_file_are_refused(name, given_sample):
    request = Request(device=given_sample["device"], options={"surprise": "1"})
    with pytest.raises(UsageError, match="has no option 'surprise'"):
        import_files(name, ["x"], request)
    with pytest.raises(UsageError, match="at least one file"):
        import_files(name, [], Request(device=given_sample["device"]))


def test_a_truncated_file_gives_an_error_or_less_of_the_same(given_sample, read):
    expected = given_sample["entries"]
    for file, text in given_sample["files"].items():
        for end in range(0, len(text), max(1, len(text) // 60)):
            try:
                imported = read({file: text[:end].encode()})
            except HwnatError:
                continue
            assert_sound(imported)
            assert set(imported.entries) <= set(expected)
            wrong = [k for k, ns in latencies(imported).items() if ns != expected[k]]
            # A number cut in its middle cannot be told from a shorter one: the last one only.
            assert len(wrong) <= 1


@st.composite
def damaged(draw, text):
    """Damage a file as people, editors and disks do."""
    lines = text.split("\n")
    kind = draw(st.sampled_from(["number", "drop", "double", "swap", "bytes"]))
    if kind == "number":
        places = list(NUMBER.finditer(text))
        at = draw(st.sampled_from(places))
        value = draw(st.sampled_from(IMPOSSIBLE) | st.floats().map(str) | st.text(max_size=8))
        return (text[: at.start()] + value + text[at.end() :]).encode("utf-8", "surrogatepass")
    if kind == "bytes":
        content = bytearray(text.encode())
        for _ in range(draw(st.integers(1, 4))):
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
        return bytes(content)
    first, second = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    if kind == "drop":
        del lines[first]
    elif kind == "double":
        lines.insert(second, lines[first])
    else:
        lines[first], lines[second] = lines[second], lines[first]
    return "\n".join(lines).encode()


@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_file_gives_sound_entries_or_an_error(given_sample, read, data):
    file = data.draw(st.sampled_from(sorted(given_sample["files"])))
    content = data.draw(damaged(given_sample["files"][file]))
    for lenient in (False, True):
        assert refusal(read, {file: content}, lenient=lenient) != ""
