"""Imports of runtimes that report on their users unless they are stopped before they are loaded.

Everything here imports them by these functions; `hwnat.device.runners.agent_program`, which runs
without this package, does the same.
"""

import os
import sys
from typing import Any


def load_onnxruntime() -> Any:  # noqa: ANN401 - ONNX Runtime has no types
    """Import ONNX Runtime without its telemetry, which starts when it is loaded."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def load_openvino() -> Any:  # noqa: ANN401 - OpenVINO has no types here
    """Import OpenVINO without its telemetry, which reports the import itself.

    It goes without where the package that sends is not installed, so the import is made to
    fail.
    """
    sender = "openvino_telemetry"
    if "openvino" in sys.modules or sender in sys.modules:
        import openvino

        return openvino
    sys.modules[sender] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        del sys.modules[sender]
    return openvino
