from hwnat.table.nearest import nearest_keys

CONV = "conv|in=1x{0}x{0}x8|out={1}|k=3|s=1|act=none|float32"


def test_keys_of_the_same_kind_come_first():
    keys = [CONV.format(8, 16), "mix|in=1x1x1x8|out=16|act=none|float32"]
    assert nearest_keys(CONV.format(9, 16), keys) == keys[:1]
    assert nearest_keys("pool|in=1x8x8x8|k=2", keys, count=1)[0] in keys


def test_among_many_keys_those_with_the_most_fields_in_common_are_compared():
    keys = [CONV.format(size, out) for size in range(1, 60) for out in range(1, 60)]
    near = nearest_keys(CONV.format(20, 77), keys)
    assert len(near) == 3
    assert all("in=1x20x20x8|" in key for key in near)


def test_letters_are_compared_for_a_bounded_number_of_keys(monkeypatch):
    from hwnat.table import nearest

    compared = []
    real = nearest.get_close_matches

    def counted(word, possibilities, **options):
        compared.append(len(possibilities))
        return real(word, possibilities, **options)

    monkeypatch.setattr(nearest, "get_close_matches", counted)
    nearest_keys(CONV.format(1, 1), [CONV.format(size, 5) for size in range(1, 20_000)])
    assert compared == [100]


def test_no_keys_have_no_nearest():
    assert nearest_keys("conv|x", []) == []
