import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from hwnat.errors import DataError, UsageError
from hwnat.records.parse import is_name, read_bytes, read_text, record, strict_json


@dataclass(frozen=True, kw_only=True)
class Wheel:
    size: int

    def __post_init__(self):
        if self.size < 0:
            msg = "a wheel cannot shrink"
            raise DataError(msg)


@dataclass(frozen=True, kw_only=True)
class Car:
    name: str
    kind: Literal["new", "old"] = "new"
    price: float = 0.0
    owner: str | None = None
    wheels: tuple[Wheel, ...] = ()
    place: Literal["garage"] | tuple[int, int] = "garage"
    parts: Mapping[str, Wheel] | None = None


def test_values_become_the_annotated_types():
    raw = {
        "name": "a",
        "price": 3,
        "wheels": [{"size": 1}, {"size": 2}],
        "place": [3, 4],
        "parts": {"spare": {"size": 5}},
    }
    assert record(Car, raw, where="f") == Car(
        name="a",
        price=3.0,
        wheels=(Wheel(size=1), Wheel(size=2)),
        place=(3, 4),
        parts={"spare": Wheel(size=5)},
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"name": "a", "wheel": []}, "cars.json: unknown key 'wheel'. Did you mean 'wheels'?"),
        ({}, "cars.json: key 'name' is missing."),
        ({"name": 1}, "cars.json: name: expected str, found 1."),
        ({"name": "a", "price": True}, "cars.json: price: expected float, found True."),
        ({"name": "a", "kind": "odd"}, "cars.json: kind: expected one of new, old, found 'odd'."),
        ({"name": "a", "wheels": [{"size": 1.0}]}, "wheels: size: expected int, found 1.0."),
        ({"name": "a", "wheels": [{"size": -1}]}, "wheels: a wheel cannot shrink"),
        ({"name": "a", "place": [1]}, "place: expected tuple"),
        (["name"], "cars.json: expected a table of keys, found list."),
        ({"name": "a", "price": float("nan")}, "price: nan is not a finite number"),
        ({"name": "a", "price": float("inf")}, "price: inf is not a finite number"),
        ({"name": "a", "price": 10**400}, "price: an integer of 1329 bits is too large"),
        ({"name": "a", "wheels": [{"size": 1 << 63}]}, "size: an integer of 64 bits"),
        ({"name": 10**5000}, "name: expected str, found a large int"),
        ({"name": [[[[[[1]]]]]]}, "name: expected str, found [[[...]]]"),
        ({"name": "a", "x" * 10**6: 1}, "unknown key 'x"),
    ],
)
def test_a_refusal_names_the_file_and_the_key(raw, message):
    with pytest.raises(UsageError) as refused:
        record(Car, raw, where="cars.json", error=UsageError)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1', "truncated"),
        ("", "truncated"),
        ('{"a": NaN}', "holds NaN"),
        ('{"a": -Infinity}', "holds -Infinity"),
        ('{"b": {"a": 1, "a": 2}}', "key 'a' occurs twice"),
        ("[" * 100_000, "t.json"),
        ("[" * 65 + "]" * 65, "nested more than 64 levels"),
        ('{"a": 1e999}', "inf is not a finite number"),
        ('{"a": [-1e999]}', "-inf is not a finite number"),
        ('{"a": ' + "9" * 30 + "}", "100 bits is too large"),
        ("9" * 5000, "4300 digits"),
        ('["\\ud800"]', "not Unicode"),
        ('{"\\udfff": 1}', "not Unicode"),
    ],
)
def test_json_that_a_lenient_reader_takes_is_refused(text, message):
    with pytest.raises(DataError, match=message):
        strict_json(text, where="t.json")


def test_an_unreadable_file_says_why(tmp_path: Path):
    with pytest.raises(DataError, match=r"Cannot read table .*: No such file"):
        read_text(tmp_path / "none", what="table")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_text(tmp_path / "binary", what="table")


def test_a_pair_of_surrogates_is_one_character():
    assert strict_json('["\\ud83d\\ude00"]', where="t") == ["\U0001f600"]


def test_a_long_object_with_a_duplicate_key_is_refused_with_linear_work():
    # By counting each key, half a million keys take hours.
    rows = ",".join(f'"{n}":0' for n in range(500_000))
    with pytest.raises(DataError, match="key '499999' occurs twice"):
        strict_json(f'{{{rows},"499999":0}}', where="t.json")


def test_only_a_regular_file_is_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path, kind in ((tmp_path / "fifo", "it is not a regular"), (tmp_path, "Is a directory")):
        with pytest.raises(DataError, match=f"Cannot read table .*: {kind}"):
            read_text(path, what="table")
    with pytest.raises(DataError, match="it is not a regular file"):
        read_bytes(Path("/dev/zero"), what="table")
    with pytest.raises(DataError, match="null"):
        read_bytes(Path("a\0b"), what="table")


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match=r"large: it is larger than 32 MiB; choose a smaller file"):
        read_text(tmp_path / "large", what="table", error=UsageError)
    (tmp_path / "fits").write_bytes(b"1234")
    assert read_bytes(tmp_path / "fits", what="table", max_bytes=4) == b"1234"
    with pytest.raises(DataError, match="larger than 0 KiB"):
        read_bytes(tmp_path / "fits", what="table", max_bytes=3)


@pytest.mark.parametrize("text", ["a", "pixel-8", "mbv3-w1.0", "R58M", "0_1"])
def test_a_name_has_letters_digits_and_few_signs(text):
    assert is_name(text)


@pytest.mark.parametrize(
    "text", ["", "-a", ".a", "_a", "a/b", "..", "a b", "a\n", "é", "a.toml", "a" * 101, "~"]
)
def test_a_path_or_an_option_is_no_name(text):
    assert not is_name(text)
