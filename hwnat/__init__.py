"""Hardware-aware deployment toolkit: measure a device, predict, search, export.

Every stage is a function of this package: `hwnat.profile(...)`, `hwnat.predict(...)`,
`hwnat.search(...)`, `hwnat.export(...)`. Names are loaded when they are used, so that importing
hwnat loads no framework.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

# `typing` alone would take most of the time that importing this package takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from hwnat.cli.export import export_pick as export
    from hwnat.predict.additive import AdditivePredictor
    from hwnat.predict.stage import predict
    from hwnat.profile.bench import bench
    from hwnat.profile.measure import profile
    from hwnat.profile.operators import profile_models
    from hwnat.profile.plan import make_plan
    from hwnat.profile.validate import validate
    from hwnat.records.arch import Arch
    from hwnat.records.device import load_device
    from hwnat.records.space import get_space
    from hwnat.search.run import SearchConfig, read_front
    from hwnat.search.stage import search
    from hwnat.table.diff import diff
    from hwnat.table.lookup import load_table

__all__ = [
    "AdditivePredictor",
    "Arch",
    "SearchConfig",
    "__version__",
    "bench",
    "diff",
    "export",
    "get_space",
    "load_device",
    "load_table",
    "make_plan",
    "predict",
    "profile",
    "profile_models",
    "read_front",
    "search",
    "validate",
]

#: The only place that states the version; `pyproject.toml` reads it from here.
__version__ = "0.2.0"

#: Public name to "module:object".
_PLACES: Final = {
    "AdditivePredictor": "hwnat.predict.additive:AdditivePredictor",
    "Arch": "hwnat.records.arch:Arch",
    "SearchConfig": "hwnat.search.run:SearchConfig",
    "bench": "hwnat.profile.bench:bench",
    "diff": "hwnat.table.diff:diff",
    "export": "hwnat.cli.export:export_pick",
    "get_space": "hwnat.records.space:get_space",
    "load_device": "hwnat.records.device:load_device",
    "load_table": "hwnat.table.lookup:load_table",
    "make_plan": "hwnat.profile.plan:make_plan",
    "predict": "hwnat.predict.stage:predict",
    "profile": "hwnat.profile.measure:profile",
    "profile_models": "hwnat.profile.operators:profile_models",
    "read_front": "hwnat.search.run:read_front",
    "search": "hwnat.search.stage:search",
    "validate": "hwnat.profile.validate:validate",
}
#: Stages that are named like the package that holds them.
_STAGES: Final = ("export", "predict", "profile", "search")


def _load(name: str) -> Any:  # noqa: ANN401 - any public name
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(import_module(module), attribute)


class _Stage(ModuleType):
    """A package that is also its stage's function: `hwnat.search(...)` and `hwnat.search.run`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the stage's own
        return _load(self.__name__.rpartition(".")[2])(*args, **kwargs)

    @property
    def __wrapped__(self) -> Any:  # noqa: ANN401 - for `inspect.signature`
        return _load(self.__name__.rpartition(".")[2])


class _Facade(ModuleType):
    """This package; the import system sets a package's submodules as its attributes."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _STAGES and isinstance(value, ModuleType):
            value.__class__ = _Stage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Facade


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name in _STAGES:
        return import_module(f"hwnat.{name}")
    if name in _PLACES:
        return _load(name)
    msg = f"module 'hwnat' has no attribute '{name}'"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
