import runpy
from pathlib import Path

import pytest

from hwnat.errors import DataError, UsageError
from hwnat.records.op import OpSpec
from hwnat.table.importers.base import Request, Source, import_files
from hwnat.table.importers.nsganet_yaml import NsganetYaml

SAMPLE = runpy.run_path(str(Path(__file__).with_name("sample_nsganet_yaml.py")))
item = SAMPLE["item"]
BLOCK = "MBConv-input:{0}-output:{1}-expand:{2}-kernel:3-stride:1-idskip:0-se:{3}"
EXPAND = "final_expand_layer-input:7x7x192-output:7x7x1152"


def read(text, **options):
    request = Request(device="i7", options=options)
    return NsganetYaml().read([Source.of("lut.yaml", text.encode())], request)


def test_spread_is_the_root_of_the_variance():
    (entry,) = read(item(EXPAND, "1.0", var="0.01")).entries.values()
    assert entry.spread == 0.1349
    with pytest.raises(DataError, match=r"lut\.yaml:1: .* variance -0\.01 is negative"):
        read(item(EXPAND, "1.0", var="-0.01"))


@pytest.mark.parametrize(
    ("shape", "out", "expand", "se", "act"),
    [
        ("50x50x24", "50x50x24", 3, 0, "relu"),
        ("25x25x40", "25x25x40", 3, 1, "relu"),
        ("13x13x80", "13x13x80", 6, 0, "hswish"),
        ("13x13x80", "13x13x112", 6, 1, "hswish"),
        ("50x50x24", "50x50x24", 1, 0, "relu"),
    ],
)
def test_the_activation_is_the_stage_s(shape, out, expand, se, act):
    (key,) = read(item(BLOCK.format(shape, out, expand, se), "1.0")).entries
    assert OpSpec.from_key(key).act == act


@pytest.mark.parametrize(("shape", "se"), [("13x13x81", 0), ("13x13x80", 1)])
def test_without_a_stage_there_is_no_activation(shape, se):
    key = BLOCK.format(shape, shape, 3, se)
    found = read(item(key, "1.0") + item(EXPAND, "1.0"))
    assert "activation is unknown" in found.unmapped[key]


def test_the_head_stands_for_more_than_was_timed_only_on_demand():
    assert [key.split("|")[0] for key in read(item(EXPAND, "1.0")).entries] == ["conv"]
    found = read(item(EXPAND, "1.0"), head="convpool")
    assert [key.split("|")[0] for key in found.entries] == ["convpool"]
    assert [(each.rule, each.severity) for each in found.findings] == [("part-missing", "warning")]
    with pytest.raises(UsageError, match="give conv or convpool"):
        read(item(EXPAND, "1.0"), head="pool")


def test_the_published_table_is_read_as_a_whole(shared_data):
    path = shared_data / "nsganetv2-i7" / "i7-8700K_lut.yaml"
    request = Request(device="i7", options={"head": "convpool"})
    found = import_files("nsganet-yaml", [path], request)
    assert not found.unmapped
    assert len(found.entries) == 4050
    assert (found.space, found.resolutions) == ("mbv3", tuple(range(96, 257, 4)))


def test_published_blocks_are_read(excerpts):
    request = Request(device="i7", options={"head": "convpool"})
    table = import_files("nsganet-yaml", [excerpts / "nsganet.yaml"], request)
    assert not table.unmapped
    assert len(table.entries) == 60
