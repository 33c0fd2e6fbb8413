"""Programs for arm64 run on devices that look like a phone and a board to them."""

import re
import subprocess

import pytest
from played.arm64 import FETCH, find_cross_compiler, find_litert_arm64

PROGRAM = """
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
int main(int count, char **words) {
  void *library = count > 1 ? dlopen(words[1], RTLD_NOW) : 0;
  printf("%ld %d\\n", sysconf(_SC_NPROCESSORS_ONLN),
         library && dlsym(library, "LiteRtCreateEnvironment"));
  return 0;
}
"""


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """Return a program for arm64 that prints the number of cores and whether LiteRT loads."""
    compiler = find_cross_compiler()
    if compiler is None:
        pytest.skip("no aarch64-linux-gnu-gcc with its C library; .ci/run installs them")
    source = tmp_path_factory.mktemp("arm64") / "program.c"
    source.write_text(PROGRAM)
    subprocess.run([compiler, "-o", source.with_suffix(""), source], check=True)
    return source.with_suffix("")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arm64_phone", "arm64_board"])
def test_arm64_device_runs_litert_on_the_cores_it_shows(kind, program, request):
    library = find_litert_arm64()
    if library is None:
        pytest.skip(f"no libLiteRt.so for arm64; {FETCH}")
    device = request.getfixturevalue(kind)
    link, folder = device.link(), device.userland.folder
    assert link.run(["uname", "-m"], timeout_s=20).stdout == "aarch64\n"
    link.push(program, f"{folder}/program")
    link.push(library, f"{folder}/libLiteRt.so")
    run = link.run([f"{folder}/program", f"{folder}/libLiteRt.so"], timeout_s=60).check()
    model = device.userland.model
    assert run.stdout == f"{model.cores} 1\n"
    shown = link.run(["cat", "/proc/cpuinfo"], timeout_s=20).stdout
    parts = [int(part, 16) for part in re.findall(r"CPU part\t: (\w+)", shown)]
    assert parts == [cluster.part for cluster in model.clusters for _ in range(cluster.cores)]
