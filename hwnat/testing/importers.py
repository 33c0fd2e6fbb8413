"""The suite for importers: `class TestMine(ImporterConformance)` with one fixture, a sample."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnat.errors import DataError, HwnatError, UsageError
from hwnat.records.op import OpSpec
from hwnat.table.entry import MAX_NS
from hwnat.table.importers.base import (
    Finding,
    Imported,
    Importer,
    Request,
    Source,
    get_importer,
    import_files,
)

#: Texts that are no latency.
IMPOSSIBLE: Final = (
    *("-1", "0", "0.0", "-0.5", "nan", "inf", "-Infinity", "1e400", "x", "1_0"),
    "\u0661",
)
_NUMBER: Final = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")
#: The suite's fixtures are rebuilt for each test, not for each example, and change nothing.
_HEALTHY: Final = (HealthCheck.function_scoped_fixture, HealthCheck.differing_executors)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImporterSample:
    """Files of a format, and what they mean.

    Attributes:
        format: name of the importer's entry point.
        device: as in `Request.device`.
        files: file name to text; to bytes in a binary format.
        entries: canonical operation key to the p50 in nanoseconds.
        unmapped: foreign keys that get no entry.
        planted: text of one value, which occurs once in all files, and the key of its entry; None
            in a binary format, for which the tests of single values are skipped.
        options: of the request; `{folder}` in a value is the folder of the files in `beside`.
        beside: further files, which options name.
        networks: name of a whole network to its measured nanoseconds.
    """

    format: str
    device: str
    files: Mapping[str, str | bytes]
    entries: Mapping[str, int]
    unmapped: frozenset[str]
    planted: tuple[str, str] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A sample with its importer and a folder that holds the files in `beside`."""

    sample: ImporterSample
    importer: Importer
    folder: Path

    def request(self, *, lenient: bool = False) -> Request:
        """Return the request that belongs to the sample."""
        options = {
            name: value.format(folder=self.folder) for name, value in self.sample.options.items()
        }
        return Request(device=self.sample.device, options=options, lenient=lenient)

    def read(
        self, changed: Mapping[str, bytes] | None = None, *, lenient: bool = False
    ) -> Imported:
        """Read the sample, with some files replaced by other bytes."""
        contents = {name: as_bytes(content) for name, content in self.sample.files.items()}
        contents |= dict(changed or {})
        sources = [Source.of(name, content) for name, content in contents.items()]
        return self.importer.read(sources, self.request(lenient=lenient))

    def refusal(self, changed: Mapping[str, bytes], *, lenient: bool = False) -> str | None:
        """Return the message that refuses the changed sample; None if it gives sound entries."""
        try:
            imported = self.read(changed, lenient=lenient)
        except HwnatError as refused:
            return str(refused)
        assert_sound(imported)
        return None

    def texts(self) -> dict[str, str]:
        """Return the files of a text format; a binary format skips the test."""
        texts = {name: held for name, held in self.sample.files.items() if isinstance(held, str)}
        if len(texts) != len(self.sample.files):
            pytest.skip(f"{self.sample.format} is a binary format")
        return texts

    def planted(self, value: str) -> tuple[dict[str, bytes], str]:
        """Return the file with the planted value replaced by `value`, and the entry's key."""
        texts = self.texts()
        assert self.sample.planted is not None, "a text format needs a planted value"
        text, key = self.sample.planted
        ((name, content),) = (item for item in texts.items() if text in item[1])
        assert content.count(text) == 1
        return {name: content.replace(text, value).encode()}, key


def as_bytes(content: str | bytes) -> bytes:
    """Return a file's bytes."""
    return content if isinstance(content, bytes) else content.encode()


def latencies(imported: Imported) -> dict[str, int]:
    """Return the entries as canonical key to p50 in nanoseconds."""
    return {key: entry.p50_ns for key, entry in imported.entries.items()}


def assert_sound(imported: Imported) -> None:
    """Check that every entry is canonical, positive, ordered and says where it comes from."""
    for key, entry in imported.entries.items():
        assert OpSpec.from_key(key).key == key
        assert 0 < entry.p10_ns <= entry.p50_ns <= entry.p90_ns < MAX_NS
        assert entry.provenance == "imported"
        assert imported.places[key]
    assert all(imported.unmapped.values())
    assert all(network.measured_ns > 0 for network in imported.networks)


@st.composite
def damaged(draw: st.DrawFn, held: str | bytes) -> bytes:
    """Damage a file as people, editors and disks do."""
    if isinstance(held, bytes):
        if draw(st.booleans()):
            return held[: draw(st.integers(0, len(held)))]
        return _with_other_bytes(draw, held)
    lines = held.split("\n")
    kind = draw(st.sampled_from(["number", "drop", "double", "swap", "bytes"]))
    if kind == "number":
        number = draw(st.sampled_from(list(_NUMBER.finditer(held))))
        value = draw(st.sampled_from(IMPOSSIBLE) | st.floats().map(str) | st.text(max_size=8))
        changed = held[: number.start()] + value + held[number.end() :]
        return changed.encode("utf-8", "surrogatepass")
    if kind == "bytes":
        return _with_other_bytes(draw, held.encode())
    first, second = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    if kind == "drop":
        del lines[first]
    elif kind == "double":
        lines.insert(second, lines[first])
    else:
        lines[first], lines[second] = lines[second], lines[first]
    return "\n".join(lines).encode()


def _with_other_bytes(draw: st.DrawFn, held: bytes) -> bytes:
    """Replace up to four bytes."""
    content = bytearray(held)
    for _ in range(draw(st.integers(1, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content)


class ImporterConformance:
    """What `hwnat.table.importers.base.Importer` promises."""

    @pytest.fixture
    def sample(self) -> ImporterSample:
        """Return files of the format and what they mean; a subclass provides it."""
        raise NotImplementedError

    @pytest.fixture
    def others(self) -> Mapping[str, Mapping[str, str | bytes]]:
        """Return files of other formats, by format; they must be refused. None by default."""
        return {}

    @pytest.fixture
    def reading(self, sample: ImporterSample, tmp_path: Path) -> Reading:
        """Return the sample with its importer, ready to be read."""
        folder = tmp_path / "beside"
        folder.mkdir()
        for name, text in sample.beside.items():
            (folder / name).write_text(text)
        return Reading(sample=sample, importer=get_importer(sample.format), folder=folder)

    def test_it_is_an_importer_of_its_name(self, reading: Reading) -> None:
        importer = reading.importer
        assert isinstance(importer, Importer)
        assert importer.format == reading.sample.format
        assert importer.unit in ("ns", "us", "ms", "s")
        assert all(name and text for name, text in importer.options.items())

    def test_the_sample_becomes_entries_in_nanoseconds(self, reading: Reading) -> None:
        imported = reading.read()
        assert latencies(imported) == reading.sample.entries
        assert set(imported.unmapped) == set(reading.sample.unmapped)
        totals = {network.name: network.measured_ns for network in imported.networks}
        assert totals == reading.sample.networks
        assert not [finding for finding in imported.findings if finding.severity == "error"]
        assert_sound(imported)

    def test_files_are_read_from_disk_and_their_hashes_kept(
        self, reading: Reading, tmp_path: Path
    ) -> None:
        paths = []
        for name, content in reading.sample.files.items():
            paths.append(tmp_path / name)
            paths[-1].write_bytes(as_bytes(content))
        imported = import_files(reading.sample.format, paths, reading.request())
        assert latencies(imported) == reading.sample.entries
        assert [source.name for source in imported.sources] == [str(path) for path in paths]
        assert {len(source.sha256) for source in imported.sources} == {64}

    def test_line_ends_and_a_byte_order_mark_change_nothing(self, reading: Reading) -> None:
        windows = {
            name: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
            for name, text in reading.texts().items()
        }
        assert latencies(reading.read(windows)) == reading.sample.entries

    @pytest.mark.parametrize("value", IMPOSSIBLE)
    def test_a_value_that_is_no_latency_never_becomes_an_entry(
        self, reading: Reading, value: str
    ) -> None:
        changed, key = reading.planted(value)
        refusal = reading.refusal(changed)
        if refusal is not None:
            (name,) = changed
            assert name in refusal
            assert "\n" not in refusal
            return
        imported = reading.read(changed)
        assert key not in imported.entries
        assert imported.unmapped

    @pytest.mark.parametrize("value", ["-1", "-0.5"])
    def test_lint_reads_on_after_such_a_value_and_reports_it(
        self, reading: Reading, value: str
    ) -> None:
        changed, planted_key = reading.planted(value)
        with pytest.raises(DataError, match=re.escape(next(iter(changed)))):
            reading.read(changed)
        imported = reading.read(changed, lenient=True)
        rest = {key: ns for key, ns in reading.sample.entries.items() if key != planted_key}
        assert latencies(imported) == rest
        (finding,) = [item for item in imported.findings if item.rule == "not-measured"]
        assert isinstance(finding, Finding)
        assert finding.severity == "error"
        assert finding.key
        assert "not measured" in finding.message

    @pytest.mark.parametrize(
        "content", [b"", b"\n\n", b"\xff\xfe\x00", b"\x00" * 50, b"{}", b"[]", b"a: b"]
    )
    def test_other_content_is_refused(self, reading: Reading, content: bytes) -> None:
        with pytest.raises(DataError):
            reading.read(dict.fromkeys(reading.sample.files, content))

    def test_files_of_other_formats_are_refused(
        self, reading: Reading, others: Mapping[str, Mapping[str, str | bytes]]
    ) -> None:
        for other, files in others.items():
            if other == reading.sample.format:
                continue
            sources = [Source.of(name, as_bytes(content)) for name, content in files.items()]
            with pytest.raises(HwnatError):
                reading.importer.read(sources, reading.request())

    def test_an_unknown_option_and_no_file_are_refused(self, sample: ImporterSample) -> None:
        request = Request(device=sample.device, options={"surprise": "1"})
        with pytest.raises(UsageError, match="has no option 'surprise'"):
            import_files(sample.format, ["x"], request)
        with pytest.raises(UsageError, match="at least one file"):
            import_files(sample.format, [], Request(device=sample.device))

    def test_a_truncated_file_gives_an_error_or_less_of_the_same(self, reading: Reading) -> None:
        expected, refused = reading.sample.entries, 0
        for name, held in reading.sample.files.items():
            whole = as_bytes(held)
            for end in range(0, len(whole), max(1, len(whole) // 60)):
                try:
                    imported = reading.read({name: whole[:end]})
                except HwnatError:
                    refused += 1
                    continue
                assert_sound(imported)
                assert set(imported.entries) <= set(expected)
                wrong = [key for key, ns in latencies(imported).items() if ns != expected[key]]
                # Only the last number may be wrong: one that is cut looks like a shorter one.
                assert len(wrong) <= 1
        # At the least, an empty file is refused.
        assert refused

    @given(data=st.data())
    @settings(max_examples=60, deadline=None, suppress_health_check=_HEALTHY)
    def test_a_damaged_file_gives_sound_entries_or_an_error_that_names_a_file(
        self, reading: Reading, data: st.DataObject
    ) -> None:
        name = data.draw(st.sampled_from(sorted(reading.sample.files)))
        content = data.draw(damaged(reading.sample.files[name]))
        named = [*reading.sample.files, *reading.sample.beside]
        for lenient in (False, True):
            refusal = reading.refusal({name: content}, lenient=lenient)
            if refusal is not None:
                assert any(file in refusal for file in named), refusal
                assert "\n" not in refusal
