import torch
from hypothesis import given
from hypothesis import strategies as st

from hwnat.supernet.elastic import channel_order, shrink_kernel


def test_identity_transforms_crop_the_centre():
    weight = torch.arange(2 * 49.0).reshape(2, 1, 7, 7)
    eyes = {5: torch.eye(25), 3: torch.eye(9)}
    assert torch.equal(shrink_kernel(weight, 5, eyes), weight[:, :, 1:6, 1:6])
    assert torch.equal(shrink_kernel(weight, 3, eyes), weight[:, :, 2:5, 2:5])
    assert torch.equal(shrink_kernel(weight, 7, eyes), weight)


def test_the_smallest_kernel_is_cropped_from_the_transformed_middle_one():
    weight = torch.rand(1, 1, 7, 7)
    matrices = {5: 2 * torch.eye(25), 3: 3 * torch.eye(9)}
    assert torch.allclose(shrink_kernel(weight, 3, matrices), 6 * weight[:, :, 2:5, 2:5])


@given(
    st.lists(st.floats(0, 9), min_size=1, max_size=30),
    st.lists(st.integers(1, 40), max_size=3),
)
def test_channel_order_is_a_permutation_that_respects_unlocked_prefixes(importance, unlocked):
    order = channel_order(torch.tensor(importance), unlocked).tolist()
    assert sorted(order) == list(range(len(importance)))
    for size in unlocked:
        assert set(order[:size]) == set(range(min(size, len(importance))))
