import numpy as np
import pytest

from hwnat.errors import UsageError
from hwnat.records.arch import Arch
from hwnat.records.space import get_space
from hwnat.search.objectives import CostModel, Limit, Objective

SPACE = get_space("mbv3-nano")


def a_model(*objectives, limits=(), space=SPACE, classes=10, **latency):
    return CostModel.build(
        space=space,
        classes=classes,
        objectives=[Objective.parse(text) for text in objectives],
        limits=[Limit.parse(text) for text in limits],
        latency=latency,
    )


@pytest.mark.parametrize("name", ["mbv3", "mbv3-w1.2", "mbv3-nano"])
def test_costs_equal_those_of_the_traced_network(name):
    space = get_space(name)
    genomes = np.vstack(
        [
            space.smallest(),
            space.largest(),
            space.sample(40, rng=np.random.default_rng(1)),
        ]
    )
    costs = a_model("params", "macs", "size", space=space, classes=7)(genomes, np.zeros(42))
    for genome, row in zip(genomes, costs, strict=True):
        cost = Arch(space=space, genome=tuple(genome)).cost(classes=7)
        assert row.tolist() == [cost.params, cost.macs, 4 * cost.folded_params]


def test_published_networks_cost_what_was_published():
    space = get_space("mbv3-w1.0")
    genomes = np.array([space.decode("08011001440551052208877")])
    model = a_model("params", "macs", space=space, classes=1000)
    assert model(genomes, [22.5])[0].tolist() == [6067408, 222557600]


def test_columns_follow_the_order_of_the_objectives():
    genomes = SPACE.sample(3, rng=np.random.default_rng(0))
    model = a_model("latency@t", "accuracy", t=lambda rows: rows.sum(axis=1) * 1e3)
    costs = model(genomes, [5, 6, 7])
    assert costs[:, 0].tolist() == (genomes.sum(axis=1) * 1e3).tolist()
    assert costs[:, 1].tolist() == [5, 6, 7]


def test_violations_are_relative_and_zero_on_the_limit():
    genomes = np.array([SPACE.smallest()])
    params = a_model("params")(genomes, [0])[0, 0]
    model = a_model("error", limits=[f"params<={int(params)}", "error<=5%"])
    assert model.violations(genomes, [10]).tolist() == [[0.0, 1.0]]


def test_the_reference_lies_beyond_the_largest_network():
    model = a_model("error", "macs")
    largest = model(np.array([SPACE.largest()]), [40])[0]
    assert (model.reference(40, SPACE.largest()) > largest).all()


@pytest.mark.parametrize(
    ("text", "kind", "at_most", "shown"),
    [
        ("latency@a/b.json<=2ms", "latency", 2e6, "latency@a/b.json<=2ms"),
        ("latency@t <= 1500 us", "latency", 1.5e6, "latency@t<=1.5ms"),
        ("latency@t<=.5s", "latency", 5e8, "latency@t<=500ms"),
        ("latency@t<=70ns", "latency", 70, "latency@t<=7e-05ms"),
        ("params<=1M", "params", 1e6, "params<=1M"),
        ("params<=300K", "params", 3e5, "params<=0.3M"),
        ("macs<=50M", "macs", 5e7, "macs<=50M"),
        ("size<=4MB", "file_bytes", 4e6, "size<=4MB"),
        ("size<=800kB", "file_bytes", 8e5, "size<=0.8MB"),
        ("error<=5%", "error", 5, "error<=5%"),
        ("error<=5.5", "error", 5.5, "error<=5.5%"),
    ],
)
def test_limits_are_read_with_their_units(text, kind, at_most, shown):
    limit = Limit.parse(text)
    assert (limit.objective.kind, limit.text) == (kind, shown)
    assert limit.at_most == pytest.approx(at_most)


@pytest.mark.parametrize(
    "text",
    [
        "latency<=2ms",
        "latency@t<=2",
        "latency@t<=2MB",
        "latency@t<2ms",
        "latency@<=2ms",
        "params<=1ms",
        "size<=4",
        "macs<=-3M",
        "macs<=1e6",
        "macs<=nan",
        "params<=0",
        "accuracy<=90%",
        "speed<=3",
        "params@t<=3",
        "<=3",
        "",
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused(text):
    with pytest.raises(UsageError):
        Limit.parse(text)


def test_a_bad_limit_is_answered_with_examples():
    for text in ("latency@t<=2", "fast"):
        with pytest.raises(UsageError, match="latency@TABLE<=2ms"):
            Limit.parse(text)


@pytest.mark.parametrize("text", ["latency", "latency@", "flops", "", "params@t", "error "])
def test_objectives_are_those_listed(text):
    if text.strip() == "error":
        assert Objective.parse(text).name == "error"
    else:
        with pytest.raises(UsageError, match="latency@TABLE"):
            Objective.parse(text)


def test_accuracy_and_error_are_one_objective():
    assert Objective.parse("accuracy") == Objective.parse("error")
    with pytest.raises(UsageError, match="each once"):
        a_model("accuracy", "error")


def test_a_search_without_objectives_or_predictor_is_refused():
    with pytest.raises(UsageError, match="none"):
        a_model()
    with pytest.raises(UsageError, match="latency@t"):
        a_model("error", limits=["latency@t<=2ms"])
