"""The comparison with ONNX Runtime that every conversion of an ONNX file passes."""

from pathlib import Path
from typing import Final

import numpy as np

from hwnat.errors import DataError, UsageError
from hwnat.targets.base import installed
from hwnat.targets.difference import Run, why_different
from hwnat.targets.inputs import random_feed
from hwnat.targets.onnx.session import open_session, session_options, signature_of

_SEED: Final = 0


def check_conversion(onnx: Path, run: Run, *, remedy: str) -> None:
    """Compare a converted file with ONNX Runtime on one set of seeded random inputs.

    Floats are standard normal; integers lie in the bounds that the file gives them.

    Args:
        onnx: the file that was converted.
        run: runs the converted file.
        remedy: what to do instead if the files differ.

    Raises:
        UsageError: an output differs by more than `LIMIT` of its range, or the converted file
            does not run; the message names the output. Or ONNX Runtime is not installed.
        DataError: ONNX Runtime cannot run the ONNX file.
    """
    installed("onnxruntime", extra="onnx")
    session = open_session(onnx, session_options(1))
    signature = signature_of(session, onnx)
    drawn = random_feed(signature, np.random.default_rng(_SEED))
    feed = {spec.name: values for spec, values in zip(signature, drawn, strict=True)}
    names = [output.name for output in session.get_outputs()]
    try:
        wanted = session.run(names, feed)
    except Exception as error:  # every kind of failure of a kernel has a class of its own
        reason = " ".join(str(error).split())[:200]
        msg = f"{onnx} is not a model that ONNX Runtime can run ({reason}); export it again."
        raise DataError(msg) from error
    try:
        returned = run(feed)
    except DataError as error:
        msg = f"{onnx} was converted to a file that does not run: {error} {remedy}"
        raise UsageError(msg) from error
    for name, one, other in zip(names, wanted, returned, strict=True):
        if why := why_different(np.asarray(one), np.asarray(other)):
            msg = f"{onnx} was not converted: output '{name:.80}' {why} on random inputs. {remedy}"
            raise UsageError(msg)
