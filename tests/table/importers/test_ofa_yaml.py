import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from hwnat.errors import DataError
from hwnat.records.grid import distinct_ops
from hwnat.records.space import MBV3, MBV3_W12
from hwnat.table.importers.base import Request, Source, import_files
from hwnat.table.importers.ofa_yaml import OfaYaml, covered_space

SAMPLE = runpy.run_path(str(Path(__file__).with_name("sample_ofa_yaml.py")))
item, KEY = SAMPLE["item"], SAMPLE["KEY"]
BLOCK = SAMPLE["BLOCK"].format(10)


def read(*texts, **more):
    sources = [Source.of(f"{i}.yaml", text.encode()) for i, text in enumerate(texts)]
    return OfaYaml().read(sources, Request(device="phone", **more))


def test_spread_and_count_come_from_the_file():
    entry = read(item(BLOCK, "1.0", std="0.1", count=50)).entries[KEY.format(10)]
    assert (entry.n, entry.spread) == (50, 0.1349)
    assert (entry.p10_ns, entry.p90_ns) == (835_500, 1_164_500)


def test_a_block_of_two_files_is_the_median_of_both():
    entry = read(item(BLOCK, "1.0"), item(BLOCK, "1.2")).entries[KEY.format(10)]
    assert (entry.p50_ns, entry.n) == (1_100_000, 196)


@pytest.mark.parametrize("others", [(), (item(BLOCK, "1.0"),)])
def test_two_values_in_one_file_conflict(others):
    with pytest.raises(DataError, match=r"has another value at 0\.yaml:1"):
        read(item(BLOCK, "1.0") + item(BLOCK, "1.2"), *others)


def test_a_head_adds_up_and_half_of_it_is_left_out():
    conv = item("Conv_1-input:5x5x192-output:5x5x1152", "0.4", std="0.03")
    pool = item("AvgPool2D-input:5x5x1152-output:1x1x1152", "0.1", std="0.04")
    (entry,) = read(conv + pool).entries.values()
    assert (entry.p50_ns, entry.high_ns) == (500_000, 500_000 + round(1.645 * 50_000))
    for half, reason in ((conv, "no AvgPool2D follows it"), (pool, "no Conv_1 has this output")):
        found = read(half + item(BLOCK, "1.0"))
        assert list(found.entries) == [KEY.format(10)]
        assert list(found.unmapped.values()) == [reason]


@pytest.mark.parametrize(
    "key",
    [
        BLOCK.replace("hs:1", "hs:2"),
        BLOCK.replace("se:1", "se:2"),
        BLOCK.replace("kernel:3", "kernel:4"),
        BLOCK.replace("-hs:1", ""),
        BLOCK.replace("output:10x10", "output:9x9"),
        BLOCK.replace("output:10x10x136", "output:10x10x96"),
        "Logits-input:2x2x64-output:10",
    ],
)
def test_a_block_that_cannot_be_is_left_out_by_name(key):
    found = read(item(BLOCK, "1.0") + item(key, "1.0"))
    assert list(found.entries) == [KEY.format(10)]
    assert list(found.unmapped) == [key]


@pytest.mark.parametrize("count", ["0", "-3", "1.5", "nan", "many"])
def test_a_count_must_count(count):
    for texts in ([item(BLOCK, "1.0", count=count)], [item(BLOCK, "1", count=count)] * 2):
        with pytest.raises(DataError):
            read(*texts)


def test_a_space_is_covered_by_all_its_blocks_only():
    ops = {op.key: op for op in distinct_ops(MBV3_W12, (192, 208), classes=7)}
    assert covered_space(ops) == ("mbv3-w1.2", 7, (192, 208))
    lacking = {key: op for key, op in ops.items() if "in=1x13x13x136" not in key}
    assert covered_space(lacking) == ("mbv3-w1.2", 7, (192,))
    assert covered_space(dict(list(ops.items())[:50])) is None
    both = {op.key: op for op in distinct_ops(replace(MBV3, resolutions=(164,)), (164,), classes=7)}
    assert covered_space(both) == ("mbv3", 7, (164,))


def test_published_tables_are_read_as_a_whole(shared_data):
    paths = sorted((shared_data / "ofa-note10").glob("*.yaml"))
    found = import_files("ofa-yaml", paths, Request(device="note10"))
    assert not found.unmapped
    assert not found.findings
    assert (found.space, found.classes) == ("mbv3-w1.2", 1000)
    assert found.resolutions == (160, 176, 192, 208, 224)
    assert all(100_000 < each.p50_ns < 20_000_000 for each in found.entries.values())


def test_published_blocks_are_read(excerpts):
    request = Request(device="note10")
    table = import_files("ofa-yaml", [excerpts / "ofa_224.yaml"], request)
    assert not table.unmapped
    # The last convolution and the pool behind it are one operation here.
    assert len(table.entries) == 39
    assert all(100_000 < entry.p50_ns < 20_000_000 for entry in table.entries.values())


def test_a_deviation_of_1e308_is_refused():
    text = "Conv-input:160x160x3-output:80x80x24:\n  count: 98\n  mean: 0.4955\n  std: 1e308\n"
    with pytest.raises(DataError, match="std: '1e308' ms is not between 0 and 1 hour"):
        OfaYaml().read([Source.of("a.yaml", text.encode())], Request(device="phone"))
