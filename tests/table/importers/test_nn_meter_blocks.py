import json

import pytest

from hwnat.errors import DataError
from hwnat.records.cost import op_cost
from hwnat.table.importers.base import Request, Source, import_files
from hwnat.table.importers.nn_meter_blocks import NnMeterBlocks, block

KEY = "transffn_16_48_2_hard_swish_ln"


def read(text, **more):
    source = Source.of("phone.json", text.encode())
    return NnMeterBlocks().read([source], Request(device="phone", **more))


@pytest.mark.parametrize("value", ["NaN", "-1", "0", "-0.5", "Infinity", "null", '"fast"', "true"])
def test_a_value_that_is_no_latency_is_refused_with_file_and_key(value):
    with pytest.raises(DataError, match=f"phone.json: {KEY}"):
        read(f'{{"{KEY}": {value}}}')


@pytest.mark.parametrize("value", ["[1.0]", "{}"])
def test_a_nested_value_is_refused_with_file_and_key(value):
    with pytest.raises(DataError, match=f"phone.json: {KEY}: expected a number"):
        read(f'{{"{KEY}": {value}}}')


def test_a_key_with_two_values_is_refused():
    with pytest.raises(DataError, match=r"phone\.json.*another value"):
        read(f'{{"{KEY}": 1.5, "{KEY}": 2.5}}')


@pytest.mark.parametrize(
    "foreign",
    [
        "conv_16_16_24_5_3_hard_swish_5_se",
        "conv_16_16_24_5_2_relu_5_se",
        "conv_016_16_24_5_2_hard_swish_5_se",
        "conv_16_16_24_5_2_hard_swish_4_se",
        "transds_8_96_104_2",
        "transattn_8_96_hard_swish_2_gn",
        "transffn_16_48_2_hard_swish_ln ",
        "",
    ],
)
def test_a_key_of_no_known_block_is_reported_as_left_out(foreign):
    assert block(foreign) is None
    found = read(json.dumps({foreign: 1.5, KEY: 2.5}))
    assert set(found.unmapped) == {foreign}
    assert len(found.entries) == 1


def test_a_projected_shortcut_and_the_products_of_attention_cost_something():
    same, other = (op_cost(block(f"transds_8_96_{out}_2_4")) for out in (96, 104))
    wider = 8 * 4 * 96  # eight more outputs of the last convolution
    assert other.macs - same.macs == 16 * (wider + 96 * 104)
    # ... with a scale and a shift for each of them, and for every channel of the shortcut.
    assert other.params - same.params == wider + 96 * 104 + 2 * (8 + 104)
    attention = op_cost(block("transattn_8_96_hard_swish_2_ln"))
    assert attention.params == 2 * 96 * (96 + 192)
    assert attention.macs == 64 * attention.params + 64 * 64 * (96 + 192)


@pytest.mark.slow
def test_every_key_of_the_published_tables_has_a_key_of_its_own(shared_data):
    folder = shared_data / "nn-meter-blocks"
    tables = [
        import_files("nn-meter-blocks", [path], Request(device=path.stem))
        for path in sorted(folder.glob("*.json"))
    ]
    assert len(tables) >= 3
    for table in tables:
        assert len(table.entries) == 12_116
        assert not table.unmapped
        assert table.entries.keys() == tables[0].entries.keys()


@pytest.mark.parametrize("phone", ["pixel4", "pixel6"])
def test_published_keys_of_each_kind_have_keys_of_their_own(excerpts, phone):
    path = excerpts / f"nn_meter_{phone}.json"
    table = import_files("nn-meter-blocks", [path], Request(device=phone))
    assert not table.unmapped
    assert len(table.entries) == len(json.loads(path.read_text()))
