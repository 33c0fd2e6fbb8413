import json

import pytest

from hwnat.errors import DataError, UsageError
from hwnat.records.space import MBV3_NANO
from hwnat.records.write import write_text
from hwnat.search.archive import Archive
from hwnat.search.run import (
    Candidate,
    Front,
    Iteration,
    check_folder,
    iteration_text,
    read_config,
    read_front,
    read_iteration,
    weights_path,
)

SMALL, LARGE = MBV3_NANO.smallest(), MBV3_NANO.largest()
MIDDLE = tuple((low + high + 1) // 2 for low, high in zip(SMALL, LARGE, strict=True))


@pytest.fixture
def front():
    rows = ((LARGE, 2.0, 9e6), (MIDDLE, 3.0, 2e6), (SMALL, 9.0, 1e6))
    return Front(
        schema=1,
        space="mbv3-nano",
        data="digits",
        classes=10,
        objectives=("error", "macs"),
        candidates=tuple(
            Candidate(
                genome=MBV3_NANO.encode(genome),
                error_percent=error,
                test_error_percent=error,
                costs=(error, macs),
            )
            for genome, error, macs in rows
        ),
    )


@pytest.fixture
def iteration():
    archive = Archive(space="mbv3-nano", genomes=[SMALL, LARGE], errors=[10 / 3, 2.5])
    return Iteration(index=1, archive=archive, metrics={"hypervolume": 1 / 3})


@pytest.mark.parametrize(
    ("choice", "index"),
    [("most-accurate", 0), ("knee", 1), ("fastest", 2), ("0", 0), ("2", 2)],
)
def test_a_pick_is_a_word_or_a_position(front, choice, index):
    position, arch = front.pick(choice)
    assert position == index
    assert arch.text == front.candidates[index].genome


@pytest.mark.parametrize("choice", ["3", "-1", "best", "", "1.0", "../x"])
def test_a_pick_that_does_not_exist_names_those_that_do(front, choice):
    with pytest.raises(UsageError, match="knee, fastest, most-accurate or a number from 0 to 2"):
        front.pick(choice)


def test_fastest_needs_a_cost_beside_the_error(front):
    only = tuple(
        Candidate(genome=c.genome, error_percent=1, test_error_percent=1, costs=(1.0,))
        for c in front.candidates
    )
    alone = Front(
        schema=1, space="mbv3-nano", data="d", classes=10, objectives=("error",), candidates=only
    )
    with pytest.raises(UsageError, match="Cannot pick 'fastest'"):
        alone.pick("fastest")


def test_a_front_survives_its_file(front, tmp_path):
    write_text(tmp_path / "front.json", front.text)
    assert read_front(tmp_path) == front


@pytest.mark.parametrize("change", [{"schema": 2}, {"candidates": []}, {"extra": 1}])
def test_a_file_that_is_no_front_is_refused(front, tmp_path, change):
    write_text(tmp_path / "front.json", json.dumps(json.loads(front.text) | change))
    with pytest.raises(DataError, match=r"front\.json"):
        read_front(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"costs": [3.0]},
        {"costs": [3.0, 1e6, 1.0]},
        {"costs": [3.0, -1.0]},
        {"error_percent": 100.5},
        {"test_error_percent": -1.0},
    ],
)
def test_a_network_of_a_front_that_cannot_be_is_refused_and_named(front, tmp_path, change):
    raw = json.loads(front.text)
    raw["candidates"][1] |= change
    write_text(tmp_path / "front.json", json.dumps(raw))
    with pytest.raises(DataError, match=r"front\.json.*network 1 of the front"):
        read_front(tmp_path)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_numbers_beyond_all_numbers_are_refused_in_every_file(
    front, iteration, tiny, tmp_path, number
):
    path = tmp_path / "001.json"
    for file, text, known, read in (
        (tmp_path / "front.json", front.text, "9000000.0", lambda: read_front(tmp_path)),
        (tmp_path / "config.json", tiny().text, "0.01", lambda: read_config(tmp_path)),
        (path, iteration_text(iteration), "0.3333333333333333", lambda: read_iteration(path)),
        (path, iteration_text(iteration), "2.5", lambda: read_iteration(path)),
    ):
        assert known in text
        file.write_text(text.replace(known, number, 1))
        with pytest.raises(DataError, match=file.name):
            read()


def test_a_front_that_is_no_text_is_refused(front, tmp_path):
    (tmp_path / "front.json").write_bytes(front.text.encode() + b"\xff")
    with pytest.raises(DataError, match=r"front\.json: not UTF-8"):
        read_front(tmp_path)


def test_a_folder_without_a_front_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(UsageError, match="run: hwnat search --run"):
        read_front(tmp_path)


def test_an_iteration_survives_its_file_with_all_digits(iteration, tmp_path):
    path = tmp_path / "001.json"
    write_text(path, iteration_text(iteration))
    assert iteration_text(read_iteration(path)) == iteration_text(iteration)


@pytest.mark.parametrize("size", [0, 1, 40, 200, -3])
def test_a_truncated_iteration_is_refused_and_named(iteration, tmp_path, size):
    path = tmp_path / "001.json"
    path.write_text(iteration_text(iteration)[:size])
    with pytest.raises(DataError, match=r"001\.json"):
        read_iteration(path)


@pytest.mark.parametrize("change", [{"index": "1"}, {"metrics": []}, {"archive": {}}, {"x": 1}])
def test_an_iteration_of_other_types_is_refused(iteration, tmp_path, change):
    path = tmp_path / "001.json"
    path.write_text(json.dumps(json.loads(iteration_text(iteration)) | change))
    with pytest.raises(DataError):
        read_iteration(path)


def test_a_configuration_survives_its_file(tiny, tmp_path):
    config = tiny(inputs=(("weights", "abc"),), limits=("macs<=1M",))
    write_text(tmp_path / "config.json", config.text)
    assert read_config(tmp_path) == config


def test_a_folder_is_compared_field_by_field(tiny, tmp_path):
    check_folder(tmp_path, tiny())
    write_text(tmp_path / "config.json", tiny().text)
    check_folder(tmp_path, tiny())
    with pytest.raises(UsageError, match=r"other settings \(inputs, seed\)"):
        check_folder(tmp_path, tiny(seed=1, inputs=(("weights", "abc"),)))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"space": 1}', '{"bogus": 1}'])
def test_a_damaged_configuration_is_refused(tiny, tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"config\.json"):
        check_folder(tmp_path, tiny())


@pytest.mark.parametrize(
    "change",
    [
        *({name: 0} for name in ("iterations", "generations", "models", "epochs", "batch")),
        *({name: 1} for name in ("initial", "archive", "training")),
        {"calibration": 0},
        {"seed": -1},
        *({"learning_rate": rate} for rate in (0.0, -1.0, 1e9, float("nan"), float("inf"))),
    ],
)
def test_a_search_without_work_is_refused(tiny, change):
    with pytest.raises(UsageError):
        tiny(**change)


def test_the_fastest_network_has_the_lowest_first_cost_beside_the_error(front):
    # By params the order of the last two is the other way round.
    params = (3e5, 1e5, 2e5)
    rows = tuple(
        Candidate(
            genome=candidate.genome,
            error_percent=candidate.error_percent,
            test_error_percent=candidate.test_error_percent,
            costs=(*candidate.costs, count),
        )
        for candidate, count in zip(front.candidates, params, strict=True)
    )
    both = Front(
        schema=1,
        space=front.space,
        data=front.data,
        classes=10,
        objectives=("error", "macs", "params"),
        candidates=rows,
    )
    assert both.pick("fastest")[0] == 2


def test_a_search_without_weights_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(DataError, match=r"supernet\.safetensors is missing; .* hwnat search"):
        weights_path(tmp_path)
    (tmp_path / "supernet.safetensors").write_bytes(b"")
    assert weights_path(tmp_path) == tmp_path / "supernet.safetensors"
