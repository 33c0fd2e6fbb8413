from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from hwnat.errors import DataError, UsageError
from hwnat.records.parse import read_text, record, strict_json


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
