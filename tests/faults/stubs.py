"""A target and a runner whose numbers say which model, visit and start they are of.

The runner's program is a shell script on the device. It writes down every order that it carries
out, so that a number which was lost, doubled or mixed up can be told. It waits at a gate for the
faults that its start brings on.
"""

import posixpath
import tempfile
from pathlib import Path

from hwnat.device.runners.result import read_result
from hwnat.records.artifact import staged

#: $1 is the model and $2 the reference; both hold what they take, in ns. The job is read where the
#: driver writes it down. Lines of shell in `faults` beside it may spoil what is printed. The start
#: whose number is in `gate`, and all later ones, wait until it holds a later number or is gone;
#: they wait for less than a run may take.
PROGRAM = r"""#!/bin/sh
here=${0%/*}
for part in "${here%/*}"/jobs/*/block-*/part; do :; done
{ read -r first; read -r job; } <"$part"
echo "$job ${1##*/}" >>"$here/log" || exit 5
count=$(wc -l <"$here/log"); count=${count##* }
turns=0
while [ $((turns += 1)) -le 25 ] && [ -f "$here/gate" ] && read -r gate <"$here/gate" &&
  [ "$count" -ge "$gate" ]; do sleep 0.02; done 2>/dev/null
base() {
  read -r value <"$1" && [ "$(tail -n 1 "$1")" = whole ] && return
  echo "model $1 is not whole" >&2; exit 6
}
base "$2"; other=$value
base "$1"
rest=${job#???}; a=$((value + 0x${job%"$rest"})) b=$((value + 5000 + count))
say() {
  echo "hwnat-run 1
runtime stub 1
model_ns $a $b $value
reference_ns $other $other
disturbed 0
end 5 $((a + b + value + 2 * other))"
}
[ -f "$here/faults" ] && . "$here/faults"
say
"""


class StubTarget:
    """Its files are written by the tests themselves."""

    name = "stub"
    suffix = ".stub"
    layout = "NCHW"
    precision = "fp32"

    def export(self, module, input_shape, path):
        raise NotImplementedError(path)

    def load(self, path, *, threads=1):
        raise NotImplementedError(path)

    def convert(self, onnx, path):
        raise NotImplementedError(path)

    def trace(self, path):
        raise NotImplementedError(path)

    def runtime(self):
        return "stub", "1"


class StubRunner:
    name = "stub"
    alternation = "runs"

    def __init__(self, spec):
        self.spec = spec

    def install(self, link, *, folder, machine):
        assert machine.host.cores
        with tempfile.TemporaryDirectory() as here:
            program = Path(here) / "stub-run"
            program.write_text(PROGRAM)
            program.chmod(0o755)
            link.push(program, posixpath.join(folder, "stub-run"))
        return "stub", "1", "stub-run 1"

    def argv(self, order, *, folder):
        return [posixpath.join(folder, "stub-run"), order.model, order.reference]

    def read(self, output, *, where):
        return read_result(output, where=where)[0]


def write_model(path: Path, base_ns: int) -> None:
    """Write a model that takes so long; it is large enough to be cut off on its way."""
    with staged(path) as target:
        target.write_text(f"{base_ns}\n" + f"{base_ns:064d}\n" * 400 + "whole\n")


def samples_ns(base_ns: int, job: str, count: int) -> list[int]:
    """Return what the program prints of a model, started as the so-manieth."""
    return [base_ns + int(job[:3], 16), base_ns + 5000 + count, base_ns]
