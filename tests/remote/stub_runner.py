"""A runner whose program is a shell script: it times nothing, and does what a test asks of it."""

import posixpath
import tempfile
from pathlib import Path

from hwnat.device.runners.result import read_result

#: Lines of shell in the file `faults` beside it come first; `log` has a line for each start.
PROGRAM = """#!/bin/sh
here=${0%/*}
echo "$1" >>"$here/log"
count=$(wc -l <"$here/log")
[ -f "$here/faults" ] && . "$here/faults"
read -r line <"$1"
n=$((1000 + ${#line}))
echo "hwnat-run 1
runtime stub 1
model_ns $n $n"
[ -z "$2" ] && echo "disturbed 0
end 2 $((2 * n))" && exit 0
echo "reference_ns 500 ${second:-500}
disturbed 0
end 4 $((2 * n + 500 + ${second:-500}))"
"""


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
        return [posixpath.join(folder, "stub-run"), order.model, order.reference or ""]

    def read(self, output, *, where):
        return read_result(output, where=where)[0]


class StubProcesses(StubRunner):
    name = "stub-processes"
    alternation = "processes"


class StubAnswers(StubRunner):
    """Its models are the outputs that they compute, as raw bytes."""

    name = "stub-answers"

    def answer(self, *, folder, model, given, answer):
        assert folder
        return ["sh", "-c", 'test -s "$1" && cp "$2" "$3"', "sh", given, model, answer]
