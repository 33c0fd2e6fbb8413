"""Options that cannot be meant are refused before anything heavy is loaded."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "pymoo", "onnx", "onnxruntime", "openvino", "ai_edge_litert")
CODE = f"""
import json, sys
from hwnat.cli.main import main
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code, sorted({set(HEAVY)!r} & set(sys.modules))]))
"""
SEARCH = ("search", "--data", "digits", "--objective")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("export", "--run", "run", "--to", "onyx"), "Unknown target 'onyx'. Did you mean onnx?"),
        (("export", "--run", "run", "--to", " , "), "--to names no target"),
        (("export", "--run", "run", "--pick", "2"), "Cannot pick '2'"),
        (("export", "--run", "run", "--pick", "best"), "Cannot pick 'best'"),
        (("export", "--run", "nowhere"), "holds no finished search"),
        ((*SEARCH, "acuracy"), "Unknown objective 'acuracy'"),
        ((*SEARCH, "macs", "--objective", "macs"), "each once"),
        ((*SEARCH, "macs", "--limit", "macs<=2ms"), "is given with"),
        ((*SEARCH, "latency@nowhere.json"), "nowhere.json"),
        ((*SEARCH, "macs", "--resolution", "25"), "no resolution 25"),
        ((*SEARCH, "macs", "--space", "mbv4"), "Unknown space 'mbv4'"),
        ((*SEARCH, "macs", "--learning-rate", "nan"), "learning rate of nan"),
        ((*SEARCH, "macs", "--learning-rate", "1e9"), "learning rate of 1e+09"),
        (
            ("supernet", "train", "--data", "digits", "--out", "w", "--learning-rate", "inf"),
            "learning rate of inf",
        ),
        (("supernet", "train", "--data", "digits", "--out", "w", "--jitter", "nan"), "jitter"),
    ],
)
def test_a_wrong_option_is_refused_before_a_framework_is_loaded(run_folder, args, words):
    done = subprocess.run(
        [sys.executable, "-c", CODE, *args],
        cwd=run_folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    code, loaded = json.loads(done.stdout)
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert code in (2, 3)
    assert loaded == []
