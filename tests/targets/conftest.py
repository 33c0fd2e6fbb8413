"""Modules whose weights and batch-norm statistics are random, so that folding them matters."""

import pytest
import torch
from torch import nn

from hwnat.testing.targets import images, randomise


@pytest.fixture(scope="session", name="randomised")
def _randomised():
    return randomise


@pytest.fixture(scope="session", name="images")
def _images():
    return images


class _Residual(nn.Module):
    def __init__(self, channels, out, stride=1):
        super().__init__()
        self.one = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.norm_one = nn.BatchNorm2d(out)
        self.two = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm_two = nn.BatchNorm2d(out)
        self.act = nn.ReLU()
        self.last = nn.ReLU()
        self.short = nn.Identity()
        if stride > 1 or channels != out:
            self.short = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        y = self.norm_two(self.two(self.act(self.norm_one(self.one(x)))))
        return self.last(y + self.short(x))


def _resnet():
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.MaxPool2d(3, 2, 1), _Residual(16, 16), _Residual(16, 32, 2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(32, 10)),
    )


class _Inverted(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        mid = 4 * channels
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, mid, 1, bias=False), nn.BatchNorm2d(mid), nn.ReLU6()),
            nn.Conv2d(mid, mid, 3, stride, 1, groups=mid, bias=False),
            *(nn.BatchNorm2d(mid), nn.ReLU6()),
            *(nn.Conv2d(mid, out, 1, bias=False), nn.BatchNorm2d(out)),
        )
        self.short = stride == 1 and channels == out

    def forward(self, x):
        return x + self.layers(x) if self.short else self.layers(x)


def _mobilenet():
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()),
        *(_Inverted(16, 24, 2), _Inverted(24, 24, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)),
    )


class _Branches(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.a = nn.Conv2d(channels, 16, 1)
        self.b = nn.Sequential(
            nn.Conv2d(channels, 12, 1), nn.ReLU(), nn.Conv2d(12, 24, (1, 5), padding=(0, 2))
        )
        self.pool = nn.AvgPool2d(3, 1, 1)
        self.c = nn.Conv2d(channels, 8, 1)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(torch.cat([self.a(x), self.b(x), self.c(self.pool(x))], 1))


def _inception():
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2), _Branches(16)),
        *(nn.Conv2d(48, 32, 3, padding=1, groups=4), nn.SiLU()),
        *(nn.Conv2d(32, 32, 3, padding=2, dilation=2), nn.Sigmoid()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10), nn.Softmax(1)),
    )


class _Transformer(nn.Module):
    def __init__(self, width=32, heads=2):
        super().__init__()
        self.heads = heads
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))
        self.head = nn.Linear(width, 10)

    def split(self, x):
        batch, tokens, width = x.shape
        return x.reshape(batch, tokens, self.heads, width // self.heads).transpose(1, 2)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        y = self.norm(x)
        q, k, v = (self.split(part(y)) for part in (self.query, self.key, self.value))
        weights = (q @ k.transpose(-1, -2) * 0.25).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(x.shape))
        return self.head((x + self.mlp(x)).mean(1))


_NETS = {
    "resnet": (_resnet, (1, 3, 32, 32)),
    "mobilenet": (_mobilenet, (1, 3, 32, 32)),
    "inception": (_inception, (1, 3, 33, 33)),
    "transformer": (_Transformer, (1, 3, 32, 32)),
}


@pytest.fixture(scope="session")
def onnx_net(tmp_path_factory):
    """Write a small network of a well-known kind as ONNX: `onnx_net("resnet")`."""
    from hwnat.targets.onnx.target import write_onnx

    folder = tmp_path_factory.mktemp("nets")

    def write(name):
        path = folder / f"{name}.onnx"
        if not path.exists():
            build, shape = _NETS[name]
            write_onnx(randomise(build()), shape, path)
        return path

    return write
