import ast
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hwnat.device.runners import agent_program
from hwnat.device.runners.agent import AgentRunner
from hwnat.device.runners.base import Answering, Order, Runner, get_runner
from hwnat.device.runners.compiler import source_id
from hwnat.device.runners.result import read_result
from hwnat.errors import DataError, UsageError
from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine
from hwnat.records.measurement import Conditions, Host
from hwnat.targets.base import get_target
from hwnat.targets.onnx.session import session_options
from hwnat.targets.openvino.session import cpu_config
from hwnat.targets.timing import alternate
from hwnat.transport.local import LocalTransport

MACHINE = Machine(
    host=Host(cpu=None, cores=2, machine="aarch64", os="Linux"),
    conditions=Conditions(at="2026-11-25T00:00:00+00:00"),
)
PROGRAM = f"hwnat-run 1 (Python, {source_id('agent_program.py')})"
TARGETS = [("onnx", "fp32"), ("openvino", "fp32"), ("tflite", "fp32"), ("tflite", "int8")]


def a_spec(target="onnx", **changes):
    words = {"name": "pi", "transport": "ssh", "host": "pi", "runner": "agent", **changes}
    return DeviceSpec(target=target, **{"python": sys.executable, **words})


def carried_out(argv, **environment):
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )


@pytest.fixture
def install(tmp_path):
    """Install the agent on this machine, in a folder of its own: returns it and what it says."""

    def bring(spec):
        runner = AgentRunner(spec)
        return runner, runner.install(LocalTransport(), folder=str(tmp_path), machine=MACHINE)

    return bring


@pytest.fixture(params=TARGETS, ids="-".join)
def models(request, nano_model, host_answer):
    """Return a target, files of a network and a block, and the network's input and output here."""
    target, precision = request.param
    net, block = (nano_model(key, target, precision) for key in ("net", "block"))
    return target, net, block, *host_answer(net, target)


def test_the_agent_times_and_computes_what_the_host_does(models, install, tmp_path):
    target, net, block, given, wanted = models
    runner, found = install(a_spec(target))
    assert found == (*get_target(target).runtime(), PROGRAM)
    order = Order(model=str(net), reference=str(block), threads=1, runs=5, warmup=1, visit_ms=0.0)
    done = carried_out(runner.argv(order, folder=str(tmp_path)))
    assert done.returncode == 0, done.stderr
    timed, *runtime = read_result(done.stdout, where="here")
    assert (runtime, timed) == ([*found[:2]], runner.read(done.stdout, where="here"))
    assert len(timed.samples_ns) + len(timed.reference_ns) + timed.disturbed >= 10

    (tmp_path / "in").write_bytes(given.tobytes())
    files = {"given": str(tmp_path / "in"), "answer": str(tmp_path / "out")}
    done = carried_out(runner.answer(folder=str(tmp_path), model=str(net), **files))
    assert done.returncode == 0, done.stderr
    answer = np.frombuffer((tmp_path / "out").read_bytes(), wanted.dtype)
    np.testing.assert_array_equal(answer, wanted.ravel())


def test_the_agent_does_with_tflite_runtime(install, nano_model, older_runtimes, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={older_runtimes} exec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    runner, found = install(a_spec("tflite", python=str(python)))
    assert found == ("tflite-runtime", "2.14.0", PROGRAM)
    block = nano_model("block", "tflite", "int8")
    order = Order(model=str(block), reference=None, threads=1, runs=3, warmup=1, visit_ms=0.0)
    done = carried_out(runner.argv(order, folder=str(tmp_path)))
    timed = runner.read(done.stdout, where="here")
    assert (timed.reference_ns, len(timed.samples_ns) + timed.disturbed >= 3) == ((), True)


def test_the_agent_is_sent_to_a_board(linux_board, nano_model):
    spec, block = a_spec(python=linux_board.python), nano_model("block", "onnx")
    with closing(linux_board.link()) as link:
        folder = f"{link.probe().workdir}/tools"
        runner = AgentRunner(spec)
        found = runner.install(link, folder=folder, machine=MACHINE)
        assert found == (*get_target("onnx").runtime(), PROGRAM)
        link.push(block, f"{folder}/block.onnx")
        order = Order(
            model=f"{folder}/block.onnx", reference=f"{folder}/block.onnx", threads=1,
            runs=3, warmup=1, visit_ms=1.0,
        )  # fmt: skip
        done = link.run(runner.argv(order, folder=folder), timeout_s=120).check()
        assert runner.read(done.stdout, where="board").reference_ns
        with pytest.raises(UsageError, match=r"has no program '/opt/none/python3'"):
            AgentRunner(a_spec(python="/opt/none/python3")).install(
                link, folder=folder, machine=MACHINE
            )


def test_a_runtime_or_python_that_is_missing_is_named_with_the_command(install, tmp_path):
    # Of this Python without its packages.
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(
        UsageError, match=rf"cannot import numpy.*with: {bare} -m pip install numpy"
    ):
        install(a_spec(python=str(bare)))
    blocked = tmp_path / "blocked"
    blocked.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c \'import sys; sys.modules["onnxruntime"] = None; '
        'sys.argv = sys.argv[1:]; exec(compile(open(sys.argv[0]).read(), "agent", "exec"))\' "$@"\n'
    )
    blocked.chmod(0o755)
    with pytest.raises(
        UsageError, match=rf"cannot import onnxruntime.*with: {blocked} -m pip install onnxruntime"
    ):
        install(a_spec(python=str(blocked)))


def test_the_agent_needs_nothing_of_hwnat_and_runs_on_python_3_8():
    source = Path(agent_program.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        name.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert not [name for name in imported if name.split(".")[0] == "hwnat"]
    tops = {
        node.module if isinstance(node, ast.ImportFrom) else ""
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
    }
    assert tops <= {"__future__", "importlib", "importlib.metadata", "time", "typing"}


def test_sessions_are_opened_as_on_the_host():
    assert agent_program.Openvino.settings(2) == cpu_config(2)
    ours, theirs = agent_program.Onnx.options(2), session_options(2)
    names = [name for name in dir(theirs) if not name.startswith("_")]
    plain = [name for name in names if not callable(getattr(theirs, name))]
    assert {name: getattr(ours, name) for name in plain} == {
        name: getattr(theirs, name) for name in plain
    }
    key = "session.force_spinning_stop"
    assert ours.get_session_config_entry(key) == theirs.get_session_config_entry(key)


class Counting:
    def __init__(self):
        self.count = 0

    def invoke(self):
        self.count += 1


@pytest.mark.parametrize(("runs", "warmup", "least_ns"), [(1, 0, 0), (4, 3, 0), (2, 1, 20_000_000)])
def test_it_alternates_as_the_host_does(runs, warmup, least_ns, monkeypatch):
    # Other programs on this machine would have runs repeated; none is lost here.
    monkeypatch.setattr("resource.getrusage", lambda _: SimpleNamespace(ru_nivcsw=0))
    here, there = [Counting(), Counting()], [Counting(), Counting()]
    samples, others, disturbed = alternate(*here, runs=runs, warmup=warmup, least_ns=least_ns)
    kept, thrown = agent_program.alternate(
        [each.invoke for each in there], runs=runs, warmup=warmup, least_ns=least_ns
    )
    for pair, sizes, away in (
        (here, (len(samples), len(others)), disturbed),
        (there, tuple(map(len, kept)), thrown),
    ):
        assert pair[0].count == pair[1].count
        assert min(sizes) >= runs
        warmed = pair[0].count - (sum(sizes) + away) // 2
        assert warmed == warmup if least_ns == 0 else warmed >= warmup
        assert sum(sizes) + away <= 2 * 3 * runs or least_ns


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["time"], "an option is missing"),
        (["answer", "--model", "x.onnx"], "an option is missing"),
        (["--version"], "an option is missing"),
        (["time", "--model", __file__], "its name should end in .onnx, .xml, .tflite"),
        (["time", "--model", "none.onnx"], "none.onnx: no such file"),
        (["time", "--mod", "x.onnx"], "unrecognized arguments"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_prints_no_result(words, said, tmp_path):
    done = carried_out([sys.executable, agent_program.__file__, *words])
    assert done.returncode != 0
    assert said in done.stderr
    assert done.stdout == ""
    del tmp_path


def test_what_a_board_prints_before_is_refused():
    with pytest.raises(DataError, match="not the output of hwnat-run 1"):
        AgentRunner(a_spec()).read("Welcome to Raspbian\nhwnat-run 1\n", where="visit 1")


def test_it_is_the_runner_of_onnx_and_openvino_and_refuses_what_it_cannot_do():
    for target in ("onnx", "openvino"):
        found = get_runner(a_spec(target, runner=None))
        assert isinstance(found, AgentRunner)
        assert isinstance(found, Runner)
        assert isinstance(found, Answering)
    with pytest.raises(UsageError, match="uses the CPU, not delegate 'gpu'"):
        AgentRunner(a_spec(delegate="gpu"))
    with pytest.raises(UsageError, match="no runtime for target 'ethosu'"):
        AgentRunner(a_spec("ethosu"))
