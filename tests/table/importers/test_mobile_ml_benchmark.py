import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnat.errors import DataError, UsageError
from hwnat.table.importers.base import Request, Source
from hwnat.table.importers.mobile_ml_benchmark import (
    MobileMlBenchmark,
    network_rows,
    operator_rows,
)

SAMPLE = runpy.run_path(str(Path(__file__).with_name("sample_mobile_ml_benchmark.py")))
OPS, NETS = SAMPLE["OPS"], SAMPLE["NETS"]
COLUMN = "new|gpu|float"


def source(text, name="ops.csv"):
    return Source.of(name, text.encode("utf-8", "surrogatepass"))


def test_rows_say_network_operation_kernel_and_time():
    rows = operator_rows(source(OPS), COLUMN)
    assert [row.network for row in rows] == ["net-a"] * 3 + ["net-b"] * 7
    assert rows[0].time == "12.5"
    assert rows[1].kernel == "convolution_winograd_4x4_6x6_2"
    assert rows[1].where == "ops.csv:3: column 'new|gpu|float'"


def test_the_tail_of_a_silent_kernel_is_told_by_another_phone():
    assert (op := operator_rows(source(OPS), COLUMN)[1].op)
    assert (op.act, op.tail) == ("relu", 1)


def test_a_phone_is_a_column_wherever_it_stands():
    lines = [line.split(",") for line in NETS.splitlines()]
    moved = "\n".join(",".join([*cells[:3], *cells[5:], *cells[3:5]]) for cells in lines)
    assert network_rows(source(moved), COLUMN) == network_rows(source(NETS), COLUMN)


def test_networks_keep_their_operators_in_order_and_what_has_no_key():
    sources = [source(NETS, "nets.csv"), source(OPS)]
    found = MobileMlBenchmark().read(sources, Request(device="new"))
    first, second = found.networks
    assert [key.split("|")[0] for key in first.keys] == ["conv", "conv"]
    assert first.unmapped == ("net-a SOFTMAX softmax_9",)
    assert (second.measured_ns, second.std_ns) == (71_500, 250)
    assert found.unmapped["net-b MAX_POOL_2D pooling_2d_6"] == "not measured on this device"


def test_quantised_operators_are_no_float_ones():
    text = OPS.replace("new|gpu|float", "new|gpu|quant")
    request = Request(device="new", options={"precision": "quant"})
    found = MobileMlBenchmark().read([source(text)], request)
    assert {key.rpartition("|")[2] for key in found.entries} == {"int8"}


@pytest.mark.parametrize("options", [{"cores": "a|b"}, {"precision": "a|b"}])
def test_a_part_of_a_column_holds_no_bar(options):
    with pytest.raises(UsageError, match="contains a bar"):
        MobileMlBenchmark().read([source(OPS)], Request(device="new", options=options))


@pytest.mark.parametrize("value", ["nan", "-1", "0", "-3.5", "inf", "1e999", "fast"])
def test_what_is_no_time_is_refused_with_file_line_and_column(value):
    changed = OPS.replace("30.25", value)
    with pytest.raises(DataError, match=r"ops\.csv:3: column 'new\|gpu\|float'"):
        MobileMlBenchmark().read([source(changed)], Request(device="new"))


@pytest.mark.parametrize("value", ["-0.5", "nan", ""])
def test_a_deviation_that_is_none_is_refused(value):
    changed = source(NETS.replace(",0.25\n", f",{value}\n"), "nets.csv")
    with pytest.raises(DataError, match=r"nets\.csv:3.*deviation"):
        MobileMlBenchmark().read([source(OPS), changed], Request(device="new"))


def test_an_unknown_phone_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match=r"no column 'pixel9\|gpu\|float'.*new\|gpu, old\|gpu"):
        operator_rows(source(OPS), "pixel9|gpu|float")


def test_a_unit_that_the_files_state_is_refused():
    with pytest.raises(UsageError, match="are in us"):
        MobileMlBenchmark().read([source(OPS)], Request(device="new", unit="ms"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("model,operation", "model,model"), "expected one file with a column 'operation'"),
        (("old|gpu|float,", "new|gpu|float,"), "occurs twice"),
        (("net-b,MEAN", "net-b,extra,MEAN"), "8 cells for 7 columns"),
        (("'Kernel': '3'", "'Kernel': '0'"), "Kernel of CONV_2D is '0'"),
        (("'Kernel': '3'", "'Kernel': __import__('os')"), "not a set of named sizes"),
        (("'Kernel': '3'", "'Stride': '3'"), "a size stands there twice"),
        (("'Group': '2'", "'Group': '3'"), "3 groups"),
        (("\nnet-b,MEAN", "\n ,MEAN"), "column 'model' is empty"),
    ],
)
def test_damage_is_refused_by_name(change, message):
    damaged = source(OPS.replace(*change))
    assert damaged.text != OPS
    with pytest.raises(DataError, match=message) as caught:
        MobileMlBenchmark().read([damaged], Request(device="new"))
    assert "ops.csv" in str(caught.value)


def test_a_network_that_stands_there_twice_is_refused():
    with pytest.raises(DataError, match=r"nets\.csv:4: network 'net-a' occurs twice"):
        network_rows(source(NETS + NETS.splitlines()[1] + "\n", "nets.csv"), COLUMN)


def assert_sound_or_refused(text):
    try:
        found = MobileMlBenchmark().read([source(text)], Request(device="new"))
    except (DataError, UsageError) as refused:
        message = str(refused)
    else:
        assert all(entry.p50_ns > 0 for entry in found.entries.values())
        message = "ops.csv"
    assert "ops.csv" in message


@given(row=st.integers(1, 10), column=st.integers(0, 6), text=st.text(max_size=12))
def test_a_cell_of_anything_gives_rows_or_an_error(row, column, text):
    import csv
    from io import StringIO

    cells = list(csv.reader(StringIO(OPS)))
    cells[row][column] = text
    out = StringIO()
    csv.writer(out, lineterminator="\n").writerows(cells)
    assert_sound_or_refused(out.getvalue())


@given(cut=st.integers(0, 400), text=st.text(alphabet="\"',{}|\n\r\0x0-", max_size=5))
def test_damaged_headers_and_quotes_give_rows_or_an_error(cut, text):
    assert_sound_or_refused(OPS[:cut] + text + OPS[cut:])
