"""The suite for targets: `class TestMine(TargetConformance)` with one fixture, the target."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from hwnat.errors import DataError, UsageError
from hwnat.export.parity import Parity, check_parity
from hwnat.records.arch import Arch
from hwnat.records.artifact import Artifact, Shape
from hwnat.records.kinds import Activation
from hwnat.records.op import OpSpec
from hwnat.records.space import MBV3_NANO, MBV3_W10
from hwnat.targets.base import Cutting, Floats, Target, get_target
from hwnat.targets.timing import Host, alternate

if TYPE_CHECKING:
    from torch import nn

Randomise = Callable[..., "nn.Module"]
Images = Callable[..., Floats]


def _block(
    size: tuple[int, int],
    *,
    stride: int = 1,
    batch: int = 1,
    out: int = 16,
    **more: Any,  # noqa: ANN401 - fields of OpSpec
) -> OpSpec:
    shape = (batch, *size, 16)
    return OpSpec(kind="mbconv", in_shape=shape, out_channels=out, stride=stride, **more)


#: One operation of each kind, with odd sizes, batches, strides and activations.
OPS: Final = (
    OpSpec(kind="conv", in_shape=(1, 28, 28, 3), out_channels=16, kernel=3, stride=2, act="hswish"),
    OpSpec(kind="conv", in_shape=(2, 9, 7, 8), out_channels=4, kernel=5, stride=2, act="relu"),
    OpSpec(kind="conv", in_shape=(1, 6, 6, 8), out_channels=4, kernel=7, act="mish"),
    OpSpec(kind="convpool", in_shape=(1, 7, 7, 16), out_channels=24, act="hswish"),
    OpSpec(kind="convpool", in_shape=(2, 1, 1, 16), out_channels=24, act="relu"),
    OpSpec(kind="mix", in_shape=(2, 1, 1, 24), out_channels=32, act="mish"),
    OpSpec(kind="linear", in_shape=(2, 1, 1, 32), out_channels=10),
    _block((14, 14), mid_channels=48, kernel=3, act="relu", se_channels=8, residual=True),
    _block((14, 14), mid_channels=48, kernel=5, stride=2, act="hswish", se_channels=16),
    _block((14, 14), mid_channels=48, kernel=7, stride=2, act="mish", se_channels=8, out=24),
    _block((7, 7), mid_channels=64, kernel=7, stride=2, act="hswish", batch=2),
    _block((7, 9), mid_channels=64, kernel=7, act="relu", residual=True, batch=2),
    _block((2, 2), mid_channels=16, kernel=7, act="none", residual=True),
    _block((5, 4), mid_channels=16, kernel=3, stride=2, act="relu"),
)


def randomise(module: "nn.Module", seed: int = 0) -> "nn.Module":
    """Draw all weights and statistics, such that signals keep their size in deep networks."""
    import torch
    from torch import nn

    draw = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            fan_in = part.weight[0].numel()
            part.weight.data.normal_(0, fan_in**-0.5, generator=draw)
            if part.bias is not None:
                part.bias.data.normal_(0, 0.3, generator=draw)
        if isinstance(part, nn.BatchNorm2d):
            if part.affine:
                part.weight.data.uniform_(0.5, 2, generator=draw)
                part.bias.data.normal_(0, 0.3, generator=draw)
            if part.running_mean is None:
                continue
            part.get_buffer("running_mean").normal_(0, 0.3, generator=draw)
            part.get_buffer("running_var").uniform_(0.3, 2, generator=draw)
    return module


def images(*shape: int) -> Floats:
    """Draw a float32 array of an NCHW shape, the same for equal shapes."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def op_module(op: OpSpec) -> "nn.Module":
    """Return the PyTorch module of one operation; torch is loaded here and not before."""
    from hwnat.targets.modules import plain

    return plain.op_module(op)


def input_shape(op: OpSpec) -> Shape:
    """Return the shape that the module of an operation takes."""
    from hwnat.targets.modules import plain

    return plain.input_shape(op)


def network(arch: Arch, *, classes: int, activation: Activation | None = None) -> "nn.Module":
    """Return the PyTorch module of a whole network."""
    from hwnat.targets.modules import plain

    return plain.network(arch.ops(classes=classes, activation=activation))


class TargetConformance:
    """What `hwnat.targets.base.Target` promises."""

    @pytest.fixture
    def target(self) -> Target:
        """Return the target to test; a subclass provides it."""
        raise NotImplementedError

    @pytest.fixture
    def randomised(self) -> Randomise:
        """Return `randomise`."""
        return randomise

    @pytest.fixture
    def images(self) -> Images:
        """Return `images`."""
        return images

    def parity(
        self, target: Target, module: "nn.Module", x: Floats, folder: Path
    ) -> tuple[Artifact, Parity]:
        """Export a module and compare the file with it on `x`."""
        artifact = target.export(module, x.shape, folder / f"net{target.suffix}")
        return artifact, check_parity(module, target.load(artifact.path), x)

    def test_it_is_a_target_found_by_its_name(self, target: Target) -> None:
        assert isinstance(target, Target)
        assert type(get_target(target.name)) is type(target)
        package, version = target.runtime()
        assert package
        assert version[0].isdigit()

    @pytest.mark.parametrize("op", OPS, ids=lambda op: op.key)
    def test_every_kind_of_operation_computes_what_torch_does(
        self, target: Target, op: OpSpec, randomised: Randomise, images: Images, tmp_path: Path
    ) -> None:
        module, x = randomised(op_module(op)), images(*input_shape(op))
        artifact, parity = self.parity(target, module, x, tmp_path)
        parity.require(op.key)
        assert artifact.details["transposes"] == 0
        assert int(artifact.details["operators"]) > 0

    @pytest.mark.parametrize(("seed", "activation"), [(0, None), (1, None), (2, "mish")])
    def test_random_networks_agree_with_torch_on_every_image(
        self,
        target: Target,
        seed: int,
        activation: Activation | None,
        randomised: Randomise,
        images: Images,
        tmp_path: Path,
    ) -> None:
        rng = np.random.default_rng(seed)
        genome = MBV3_NANO.sample(1, rng=rng)[0]
        arch = Arch(space=MBV3_NANO, genome=tuple(map(int, genome)))
        module = randomised(network(arch, classes=10, activation=activation), seed)
        size = arch.resolution
        path = tmp_path / f"net{target.suffix}"
        artifact = target.export(module, (1, 3, size, size), path)
        parity = check_parity(module, target.load(path), images(8, 3, size, size))
        parity.require(arch.text)
        assert parity.top1_agreement == 1
        assert parity.rows == 8
        assert artifact.details["transposes"] == 0

    def test_a_large_network_at_224_agrees_with_torch(
        self, target: Target, randomised: Randomise, images: Images, tmp_path: Path
    ) -> None:
        arch = Arch.from_text(MBV3_W10, "08011001440551052208877")
        module = randomised(network(arch, classes=1000))
        x = images(1, 3, arch.resolution, arch.resolution)
        artifact, parity = self.parity(target, module, x, tmp_path)
        parity.require(arch.text)
        assert artifact.details["transposes"] == 0

    def test_the_input_shape_is_explicit_and_in_the_layout_of_the_file(
        self, target: Target, randomised: Randomise, tmp_path: Path
    ) -> None:
        module, path = randomised(op_module(OPS[0])), tmp_path / f"net{target.suffix}"
        artifact = target.export(module, (4, 3, 28, 20), path)
        nhwc = target.layout == "NHWC"
        assert artifact.input_shape == ((4, 28, 20, 3) if nhwc else (4, 3, 28, 20))
        assert artifact.layout == target.layout
        session = target.load(path)
        assert session.input_shape == (4, 3, 28, 20)
        with pytest.raises(DataError, match=r"\(4, 3, 28, 20\)"):
            session.run(np.zeros((1, 3, 28, 20), np.float32))
        with pytest.raises(DataError, match="float64"):
            session.run(np.zeros((4, 3, 28, 20)))  # type: ignore[arg-type]

    def test_exporting_leaves_the_module_as_it_was(
        self, target: Target, randomised: Randomise, tmp_path: Path
    ) -> None:
        module = randomised(op_module(OPS[8])).train()
        before = {name: value.clone() for name, value in module.state_dict().items()}
        target.export(module, input_shape(OPS[8]), tmp_path / f"net{target.suffix}")
        assert all(part.training for part in module.modules())
        assert all(value.requires_grad for value in module.parameters())
        assert all(bool((before[name] == now).all()) for name, now in module.state_dict().items())

    def test_equal_modules_give_equal_files_and_other_weights_do_not(
        self, target: Target, randomised: Randomise, tmp_path: Path
    ) -> None:
        def digest(folder: str, seed: int) -> str:
            path = tmp_path / folder / f"net{target.suffix}"
            return target.export(randomised(op_module(OPS[7]), seed), (1, 16, 14, 14), path).sha256

        assert digest("a", 0) == digest("b", 0) == digest("a", 0)
        assert digest("a", 1) != digest("a", 0)

    def test_a_failed_export_leaves_what_was_there(
        self, target: Target, randomised: Randomise, tmp_path: Path
    ) -> None:
        path = tmp_path / f"net{target.suffix}"
        target.export(randomised(op_module(OPS[0])), (1, 3, 8, 8), path)
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        with pytest.raises(UsageError) as error:
            target.export(op_module(OPS[0]), (1, 5, 8, 8), path)
        assert "\n" not in str(error.value)
        assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def test_a_nan_in_the_file_is_no_parity(
        self, target: Target, randomised: Randomise, images: Images, tmp_path: Path
    ) -> None:
        module = randomised(op_module(OPS[3]))
        x = images(1, 16, 7, 7)
        path = target.export(module, x.shape, tmp_path / f"net{target.suffix}").path
        session = target.load(path)
        assert check_parity(module, session, x).ok
        x[0, 0, 0, 0] = np.nan
        assert not check_parity(module, session, x).ok
        broken = randomised(op_module(OPS[3]))
        broken.get_parameter("bn.bias").data[0] = np.nan
        target.export(broken, x.shape, path)
        assert not check_parity(module, target.load(path), images(1, 16, 7, 7)).ok

    def test_repeated_runs_of_a_bound_input_give_the_same_output(
        self, target: Target, randomised: Randomise, images: Images, tmp_path: Path
    ) -> None:
        path = tmp_path / f"net{target.suffix}"
        target.export(randomised(op_module(OPS[8])), input_shape(OPS[8]), path)
        one, two = target.load(path), target.load(path, threads=2)
        x = images(*input_shape(OPS[8]))
        first = one.run(x)
        kept = first.copy()
        two.prepare(-x)
        host = Host(preemptions=lambda: 0)
        candidate, reference, _ = alternate(one, two, runs=3, warmup=1, host=host)
        assert candidate
        assert reference
        assert min(candidate + reference) > 0
        np.testing.assert_array_equal(one.output(), first)
        assert not np.array_equal(two.output(), first)
        one.run(-x)
        np.testing.assert_array_equal(first, kept)

    def test_a_trace_finds_what_a_file_was_made_of(
        self, target: Target, randomised: Randomise, tmp_path: Path
    ) -> None:
        path = tmp_path / f"net{target.suffix}"
        target.export(randomised(op_module(OPS[8])), input_shape(OPS[8]), path)
        trace = target.trace(path)
        assert trace.target == target.name
        assert trace.runtime == " ".join(target.runtime())
        assert not trace.unknown
        depthwise = [op for op in trace.specs if op.kind == "dwconv"]
        assert [(op.in_shape, op.kernel, op.stride) for op in depthwise] == [
            ((1, 14, 14, 48), 5, 2)
        ]
        assert sum(op.kind == "conv" for op in trace.specs) == 4
        path.write_bytes(b"not a model")
        with pytest.raises(DataError, match="export it again"):
            target.trace(path)

    def test_pieces_of_a_file_compute_what_the_file_does(
        self, target: Target, randomised: Randomise, images: Images, tmp_path: Path
    ) -> None:
        if not isinstance(target, Cutting):
            pytest.skip(f"{target.name} cuts no pieces")
        whole, piece, rest = (tmp_path / f"{name}{target.suffix}" for name in ("w", "p", "r"))
        target.export(randomised(op_module(OPS[8])), input_shape(OPS[8]), whole)
        x = images(*input_shape(OPS[8]))
        wanted = target.load(whole).run(x)
        kernels = [kernel.nodes for kernel in target.trace(whole).ops if kernel.nodes]
        target.cut(whole, kernels[-1], piece, ancestors=True)
        np.testing.assert_array_equal(target.load(piece).run(x), wanted)
        chained = 0
        for count in range(1, len(kernels)):
            first = target.cut(whole, kernels[count - 1], piece, ancestors=True)
            names = [name for nodes in kernels[count:] for name in nodes]
            second = target.cut(whole, names, rest)
            assert set(second.inputs) <= {*first.inputs, *first.outputs}
            if first.outputs == second.inputs and len(first.outputs) == 1:
                middle = target.load(piece).run(x)
                np.testing.assert_allclose(target.load(rest).run(middle), wanted, atol=1e-5)
                chained += 1
        assert chained
        with pytest.raises(DataError, match="no node 'nobody'"):
            target.cut(whole, ["nobody"], piece)

    def test_what_is_not_a_model_is_refused_in_one_line(
        self, target: Target, randomised: Randomise, tmp_path: Path
    ) -> None:
        path = tmp_path / f"net{target.suffix}"
        with pytest.raises(DataError, match=r"No \w+ (weights )?file at"):
            target.load(path)
        target.export(randomised(op_module(OPS[8])), input_shape(OPS[8]), path)
        whole = path.read_bytes()
        cuts = [whole[: len(whole) * part // 10] for part in (0, 1, 5, 9)]
        for content in [*cuts, whole[:-4], b"not a model", b"\0" * 4096]:
            path.write_bytes(content)
            with pytest.raises(DataError, match="export it again") as error:
                target.load(path)
            assert "\n" not in str(error.value)
            assert str(path) in str(error.value)
