from hwnat.profile.select import farthest
from hwnat.records.op import OpSpec


def convs(*channels):
    return [
        OpSpec(kind="conv", in_shape=(1, 8, 8, c), out_channels=c, kernel=3, act="relu")
        for c in channels
    ]


def test_all_fit_into_the_budget_or_none_does():
    ops = convs(8, 16, 32)
    assert farthest(ops, 3) == tuple(ops)
    assert farthest(ops, 9) == tuple(ops)
    assert farthest(ops, 0) == ()


def test_the_extremes_come_before_what_is_between():
    ops = convs(8, 9, 10, 11, 512)
    chosen = farthest(ops, 2)
    assert {op.in_shape[3] for op in chosen} == {8, 512}
    beside = farthest(ops, 1, beside=convs(7))
    assert beside[0].in_shape[3] == 512


def test_every_kind_gets_its_share_and_order_is_kept():
    ops = [*convs(8, 16, 32, 64, 128), OpSpec(kind="softmax", in_shape=(1, 1, 1, 10))]
    chosen = farthest(ops, 3)
    assert chosen[-1].kind == "softmax"
    assert [op for op in ops if op in chosen] == list(chosen)


def test_every_kind_gets_as_many_as_a_model_needs_before_any_gets_more():
    acts = [OpSpec(kind="act", in_shape=(1, 1, 1, c), act="relu") for c in range(8, 15)]
    ops = [*convs(*range(8, 800, 8)), *acts]
    chosen = farthest(ops, 20)
    assert sum(op.kind == "act" for op in chosen) >= 5
    assert sum(op.kind == "act" for op in farthest(ops, 20, beside=acts[:3])) >= 2
    assert len(farthest(acts, 6)) == 6
