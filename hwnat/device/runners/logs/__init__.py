"""What runners on devices print, recognised and read strictly: `parse_log`.

Every format has a mark, or a structure, without which it counts as cut off; then nothing of it is
used. Formats print many numbers once only, so a digit that changed on its way cannot always be
noticed: whoever fetches a log from a device passes the SHA-256 that was taken there. Nothing here
talks to a device.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from hwnat.device.runners.logs import (
    benchmark_model,
    litert,
    ncnn,
    onnxruntime,
    openvino,
    protobuf,
    qnn,
    rknn,
    scalesim,
    vela,
)
from hwnat.device.runners.logs.failure import refuse_exit_code, refuse_failure
from hwnat.device.runners.logs.output import Output, decode
from hwnat.device.runners.logs.record import (
    Delegation,
    Estimate,
    OpTime,
    RuntimeLog,
    Timing,
)
from hwnat.errors import DataError, HwnatError
from hwnat.records.parse import strict_json

__all__ = ["Delegation", "Estimate", "OpTime", "RuntimeLog", "Timing", "parse_log"]

#: A line that only this format has, its tool, its reader; the first that is found decides.
_TEXTS: Final[tuple[tuple[str, str, Callable[[Output], RuntimeLog]], ...]] = (
    (r"^=+ BENCHMARK RESULTS =+$", litert.MODEL_TOOL, litert.read_model),
    (r"[Ii]nference timings in us: |Running benchmark for at least |^(?:INFO: )?STARTING!$",
     "benchmark_model", benchmark_model.read),
    (r"^\[Step \d+/\d+\] ", openvino.TOOL, openvino.read),
    (r"^Session creation time cost: |^Total inference time cost: ", "onnxruntime_perf_test",
     onnxruntime.read),
    (r"^loop_count = \d", ncnn.TOOL, ncnn.read),
    (r"\AMsg Timestamp,Message,", qnn.TOOL, qnn.read),
    (r"^[DIWE] RKNN: \[", rknn.TOOL, rknn.read),
    (r"\ALayerID, ", scalesim.TOOL, scalesim.read),
    (r"\Aexperiment,network,", vela.TOOL, vela.read_summary),
    (r"\AOriginal Operator,", vela.TOOL, vela.read_layers),
    (r"^Network summary for |^Accelerator configuration  +\S", vela.TOOL, vela.read_text),
    (r"^node type, ", "benchmark_model", benchmark_model.read_csv),
    (r"\A\s*=+ Run Order =+$", "litert-profiler", benchmark_model.read_summary),
)  # fmt: skip
#: Keys that only this report has, its tool, its reader.
_REPORTS: Final[
    tuple[tuple[set[str], str, Callable[[Output, Mapping[str, Any]], RuntimeLog]], ...]
] = (
    ({"latency", "accelerators"}, litert.PYTHON_TOOL, litert.read_python),
    ({"execution_results"}, openvino.TOOL, openvino.read_report),
    ({"detailed_performance"}, openvino.TOOL, openvino.read_counters),
)
#: Tools whose files have no end of their own.
_UNENDED: Final = (scalesim.TOOL,)
_EXIT: Final = re.compile(r"^HWNAT_RC=(\d{1,3})$", re.MULTILINE)


def parse_log(
    raw: str | bytes,
    *,
    tool: str | None = None,
    where: str = "runner",
    sha256: str | None = None,
    expected: int | None = None,
) -> RuntimeLog:
    """Read what a runner printed or wrote, as it came, with its last line end.

    Args:
        raw: text, or bytes of text or of a protocol buffer.
        tool: refuse the output of any other, as `RuntimeLog.tool` spells it; None takes all.
        where: the device or file, named in every message.
        sha256: of `raw` as the device computed it, which finds every change on the way.
        expected: for files of one row a layer the number of layers, exactly; otherwise how many
            runs were asked for, at least. SCALE-Sim's report has no end and needs it.

    Raises:
        DeviceError: the runner, or the shell that started it, says that it failed.
        DataError: the output is of no known tool or of another one, was cut off or damaged, or
            holds a time that is zero, negative or no number.
    """
    if sha256 is not None:
        _check_hash(raw, sha256, where=where)
    if not raw:
        msg = f"{where}: the runner printed nothing; try it: hwnat device doctor DEVICE."
        raise DataError(msg)
    try:
        log = _parse(raw, tool=tool, where=where)
    except HwnatError as problem:
        if str(problem).startswith(f"{where}:"):
            raise
        # A record that refuses its values does not know where they come from.
        msg = f"{where}: {problem} Nothing is used; run the same hwnat profile command again."
        raise DataError(msg) from problem
    _check_expected(log, expected, where=where)
    return log


def _check_hash(raw: str | bytes, sha256: str, *, where: str) -> None:
    data = raw.encode(errors="replace") if isinstance(raw, str) else raw
    if hashlib.sha256(data).hexdigest() != sha256.lower():
        msg = (
            f"{where}: the output has another SHA-256 than on the device, so it was damaged on "
            "its way; run the same hwnat profile command again."
        )
        raise DataError(msg)


def _parse(raw: str | bytes, *, tool: str | None, where: str) -> RuntimeLog:
    if isinstance(raw, bytes) and _is_message(raw):
        found, text = "benchmark_model", ""
        _check_tool(found, tool, where=where)
        return protobuf.read(Output(text=text, tool=found, where=where), raw)
    text = decode(raw, where=where)
    if text.lstrip().startswith("{"):
        return _parse_report(text, tool=tool, where=where)
    refuse_failure(text, where=where)
    for code in _EXIT.findall(text):
        refuse_exit_code(int(code), where=where)
    for pattern, found, reader in _TEXTS:
        if re.search(pattern, text, re.MULTILINE):
            _check_tool(found, tool, where=where)
            return reader(Output(text=text, tool=found, where=where))
    msg = (
        f"{where}: no known runner prints this ({text.strip()!r:.80}), or it was cut off before "
        "anything that tells it; docs/devices.md lists what is understood."
    )
    raise DataError(msg)


def _is_message(raw: bytes) -> bool:
    """Tell a protocol buffer, which starts with a field of bytes, from text."""
    return raw[0] in (0x0A, 0x12, 0x1A) and any(
        byte < 0x20 and byte not in b"\t\n\r" for byte in raw
    )


def _parse_report(text: str, *, tool: str | None, where: str) -> RuntimeLog:
    report = strict_json(text, where=where)
    for keys, found, reader in _REPORTS:
        if isinstance(report, Mapping) and keys <= set(report):
            _check_tool(found, tool, where=where)
            return reader(Output(text=text, tool=found, where=where), report)
    msg = f"{where}: no known runner writes this JSON; docs/devices.md lists what is understood."
    raise DataError(msg)


def _check_tool(found: str, wanted: str | None, *, where: str) -> None:
    if wanted not in (None, found):
        msg = f"{where}: this is the output of {found}, not of {wanted}; name the right tool."
        raise DataError(msg)


def _check_expected(log: RuntimeLog, expected: int | None, *, where: str) -> None:
    """Refuse a log of fewer runs, or of another number of layers, than the caller asked for."""
    if expected is None:
        if log.tool in _UNENDED:
            msg = (
                f"{where}: a report of {log.tool} has no end, so one that was cut off looks whole; "
                "pass the number of layers as expected=."
            )
            raise DataError(msg)
        return
    runs = log.inference.count if log.inference else None
    if runs is not None and runs < expected:
        msg = f"{where}: {runs} runs, {expected} were asked for; run again."
        raise DataError(msg)
    if log.inference is None and len(log.ops) != expected:
        msg = f"{where}: {len(log.ops)} layers, the model has {expected}; run again."
        raise DataError(msg)
