from dataclasses import replace

import pytest
from evaluate.offgrid import SplitTable, evaluate_offgrid, score_offgrid

from hwnat.errors import DataError, UsageError
from hwnat.records.cost import total_cost
from hwnat.records.grid import distinct_ops
from hwnat.records.space import MBV3_NANO, MBV3_W12, get_space
from hwnat.table.importers.base import Request, import_files


def cost(op):
    """A device that pays for whole tiles of 8 pixels in every operation."""
    pixels = op.out_size[0] * op.out_size[1]
    return round(total_cost([op]).macs / 10 * (-(-pixels // 8) * 8) / pixels) + 3_000


@pytest.fixture
def published(an_entry):
    def build(known, hidden, space=MBV3_NANO):
        def entries(*resolutions):
            wider = replace(space, resolutions=resolutions)
            ops = distinct_ops(wider, resolutions, classes=10)
            return {op.key: an_entry(cost(op)) for op in ops}

        return SplitTable(
            space=space,
            classes=10,
            known=entries(*known),
            resolutions=known,
            hidden={each: entries(each) for each in hidden},
        )

    return build


@pytest.mark.slow
def test_networks_at_hidden_resolutions_are_scored_beside_plainer_methods(published):
    found = score_offgrid(published((24, 28, 32), (26, 30)), 60, seed=1)
    assert found.n == 60
    assert set(found.baselines) == {
        "linear_in_image_pixels",
        "linear_in_map_pixels",
        "nearest_scaled_by_macs",
    }
    assert found.mape < found.baselines["linear_in_image_pixels"].mape
    assert found.facts["tables"] == ["24", "28", "32"]
    assert found.facts["test"] == ["26", "30"]
    assert len(found.facts["bias_by_resolution"]) == 2
    assert found == score_offgrid(published((24, 28, 32), (26, 30)), 60, seed=1)


def test_fewer_networks_than_resolutions_are_refused(published):
    with pytest.raises(UsageError, match="1 networks are too few for 2"):
        score_offgrid(published((24, 28, 32), (26, 30)), 1, seed=0)


def foreign(op):
    """Spell an operation as Once-for-All does, mean in milliseconds, as (key, mean) pairs."""
    height, channels = op.in_shape[1], op.in_shape[3]
    out = op.out_size[0]
    ms = cost(op) / 1e6
    ends = f"input:{height}x{height}x{channels}-output:{out}x{out}x{op.out_channels}"
    if op.kind == "mbconv":
        se, hs = int(op.se_channels > 0), int(op.act == "hswish")
        rest = f"expand:{op.mid_channels}-kernel:{op.kernel}-stride:{op.stride}"
        yield f"expanded_conv-{ends}-{rest}-idskip:{int(op.residual)}-se:{se}-hs:{hs}", ms
    elif op.kind == "convpool":
        wide = f"{height}x{height}x{op.out_channels}"
        yield f"Conv_1-input:{height}x{height}x{channels}-output:{wide}", ms * 0.9
        yield f"AvgPool2D-input:{wide}-output:1x1x{op.out_channels}", ms * 0.1
    elif op.kind == "linear":
        yield f"Logits-input:1x1x{channels}-output:{op.out_channels}", ms
    else:
        yield f"{ {'conv': 'Conv', 'mix': 'Conv_2'}[op.kind] }-{ends}", ms


@pytest.fixture
def write(tmp_path):
    def table(resolution, *, drop=0):
        ops = distinct_ops(replace(MBV3_W12, resolutions=(resolution,)), (resolution,), classes=10)
        items = [each for op in ops for each in foreign(op)][drop:]
        path = tmp_path / f"{resolution}.yaml"
        path.write_text(
            "".join(f"{k}:\n  count: 50\n  mean: {ms!r}\n  std: 0.001\n" for k, ms in items)
        )
        return path

    return table


@pytest.mark.slow
def test_resolutions_follow_from_the_files(write):
    found = evaluate_offgrid([write(r) for r in (32, 64, 96)], [write(48)], 20, seed=0)
    assert found.facts["tables"] == ["32", "64", "96"]
    assert found.facts["test"] == ["48"]
    assert found.facts["left_out"] == []
    assert found.within10 == 1


def test_a_resolution_on_both_sides_or_twice_is_refused(write):
    one, two = write(32), write(64)
    with pytest.raises(UsageError, match=r"Resolution 32 of .* is also in another file"):
        evaluate_offgrid([one, two], [one], seed=0)
    with pytest.raises(UsageError, match="name each resolution once"):
        evaluate_offgrid([one], [two, two], seed=0)
    with pytest.raises(UsageError, match="Name at least one file"):
        evaluate_offgrid([one], [], seed=0)


def test_a_table_with_a_hole_is_named(write):
    one, holed = write(32), write(64, drop=40)
    with pytest.raises(DataError, match=r"64\.yaml: does not hold .*: it has no stem"):
        evaluate_offgrid([one], [holed], seed=0)
    lines = write(64).read_text().splitlines(keepends=True)
    holed.write_text("".join(lines[:80] + lines[84:]))
    with pytest.raises(DataError, match=r"1 are missing at 64, such as mbconv\|in=1x16x16x32"):
        evaluate_offgrid([one], [holed], seed=0)
    with pytest.raises(DataError, match=r"64\.yaml: no file holds all blocks"):
        evaluate_offgrid([holed], [one], seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [176, 192, 208])
def test_a_phone_s_table_is_predicted_from_those_32_pixels_apart(shared_data, hidden):
    files = {
        r: shared_data / "ofa-note10" / f"{r}_lookup_table.yaml" for r in (160, 176, 192, 208, 224)
    }
    known = [path for r, path in files.items() if r != hidden]
    found = evaluate_offgrid(known, [files[hidden]], 300, seed=0)
    assert found.within5 == 1
    assert abs(found.bias) < 0.01
    assert found.mape < min(0.008, found.baselines["linear_in_map_pixels"].mape)


@pytest.mark.slow
@pytest.mark.parametrize("width", ["1.0", "1.2"])
def test_a_cpu_s_resolutions_between_those_16_apart_are_predicted(shared_data, width):
    path = shared_data / "nsganetv2-i7" / "i7-8700K_lut.yaml"
    options = {"head": "convpool"}
    every = import_files("nsganet-yaml", [path], Request(device="i7", options=options))
    space = get_space(f"mbv3-w{width}")

    def entries(*resolutions):
        ops = distinct_ops(replace(space, resolutions=resolutions), resolutions, classes=1000)
        return {op.key: every.entries[op.key] for op in ops}

    known = tuple(range(160, 225, 16))
    hidden = {r: entries(r) for r in range(160, 225, 4) if r not in known}
    published = SplitTable(
        space=space, classes=1000, known=entries(*known), resolutions=known, hidden=hidden
    )
    found = score_offgrid(published, 600, seed=0)
    assert found.within5 > 0.97
    assert abs(found.bias) < 0.01
    assert 0.8 < found.coverage90 < 0.99
    assert found.mape < found.baselines["linear_in_map_pixels"].mape
