"""Imports of runtimes whose telemetry has to be switched off before they are loaded.

The whole package imports these runtimes through the functions below.
`hwnat.device.runners.agent_program` runs without this package and repeats these steps.
"""

import os
import sys
from typing import Any


def load_onnxruntime() -> Any:  # noqa: ANN401 - ONNX Runtime has no types
    """Import ONNX Runtime with its telemetry off; it would start when the library is loaded."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def load_openvino() -> Any:  # noqa: ANN401 - OpenVINO has no types here
    """Import OpenVINO with its telemetry off; it would report the import itself.

    OpenVINO skips telemetry if the package that sends it is not installed, so importing that
    package is made to fail.
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
