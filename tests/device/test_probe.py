import hashlib
import json
import os
import platform
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnat.device.probe import parse_probe, probe_machine, read_serial, read_state
from hwnat.errors import DeviceError
from hwnat.records.machine import Cluster
from hwnat.transport.adb import AdbTransport
from hwnat.transport.local import LocalTransport
from hwnat.transport.shell import program

TABLES = Path(__file__).parents[2] / "latency_tables"
SHELLS = ["dash", "bash", "mksh", "busybox ash"]


def said(state=(), /, **facts):
    """Return what `probe.sh` prints: identity, then state."""
    blocks = []
    for pairs in (facts.items(), dict(state).items()):
        block = [(key, str(value)) for key, value in pairs]
        block.append(("end", str(len(block))))
        blocks.append("".join(f"{k}\t{v}\t{k}\t{v}\n" for k, v in block))
    return "--\n".join(blocks)


def cpuinfo(*parts, maker="0x41"):
    """Return the facts of /proc/cpuinfo for cores of these designs."""
    rows = []
    for core, part in enumerate(parts):
        rows += [f"processor : {core}", f"CPU implementer : {maker}", f"CPU part : {part}"]
    return {f"cpu.{number}": row for number, row in enumerate(rows, start=1)}


def probed(state=(), /, **facts):
    return parse_probe(said(state, **facts), at="t")


class Counting(AdbTransport):
    """A link that counts its calls."""

    calls = 0

    def run(self, argv, *, timeout_s):
        self.calls += 1
        return super().run(argv, timeout_s=timeout_s)


def test_a_phone_is_known_after_one_call(android_phone):
    link = Counting(android_phone.serial)
    found = probe_machine(link)
    assert link.calls == 1
    host = found.host
    assert (host.soc, host.board, host.cores) == ("Fixture FX100", "Fixture 8", 8)
    assert host.os.startswith("Android 14, Linux ")
    assert host.build.startswith("fixture/fixture8/")
    assert (found.android_api, found.root) == (34, False)
    assert found.memory_bytes > 1 << 28
    assert found.clusters == (
        Cluster(cores=(0, 1, 2, 3), max_hz=1_803_000_000, capacity=250, part="Cortex-A55"),
        Cluster(cores=(4, 5, 6), max_hz=2_348_000_000, capacity=768, part="Cortex-A78"),
        Cluster(cores=(7,), max_hz=2_850_000_000, capacity=1024, part="Cortex-X1"),
    )
    names = [name for name, _ in found.zones_c]
    assert names == ["cpu-0-0", "cpu-1-0", "gpuss-0", "skin-therm", "battery"]
    assert replace(read_state(link), at="t") == replace(found.conditions, at="t")


def test_a_serial_number_is_told_apart_and_never_told(android_phone):
    found = read_serial(android_phone.link())
    assert found == hashlib.sha256(b"FX0123456789").hexdigest()[:12]


def test_a_machine_without_a_serial_number_has_its_id():
    here = [Path("/proc/device-tree/serial-number"), Path("/etc/machine-id")]
    told = [each.read_bytes().strip(b"\0\n") for each in here if each.is_file()]
    wanted = next((hashlib.sha256(each).hexdigest()[:12] for each in told if each), None)
    assert read_serial(LocalTransport()) == wanted
    assert probe_machine(LocalTransport()).host.serial is None


def test_a_board_is_known_by_its_device_tree(linux_board):
    found = probe_machine(linux_board.link())
    assert found.host.board == "Fixture Board 4"
    assert (found.android_api, found.root) == (None, True)
    assert found.clusters == (Cluster(cores=(0, 1, 2, 3), max_hz=1_500_000_000, part="Cortex-A72"),)
    assert found.conditions.battery_percent is None
    assert found.conditions.awake is None


def test_this_machine_is_still_the_one_that_the_shipped_tables_know():
    """Where they were measured, a file may be timed beside them."""
    found = probe_machine(LocalTransport())
    assert found.host.machine == found.abi == platform.machine()
    assert found.host.cores == os.cpu_count()
    for path in TABLES.glob("host-*/*.json"):
        setup = json.loads(path.read_text())["setup"]["host"]
        assert set(setup) <= {"cpu", "cores", "machine", "os"}
        if setup["os"].endswith(platform.release()) and setup["cpu"] == found.host.cpu:
            assert setup["machine"] == found.host.machine
            assert setup["os"] == found.host.os


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_says_the_same(shell):
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"no {shell} on this machine")
    done = (
        LocalTransport().run([*shell.split(), "-c", program("device/probe")], timeout_s=20).check()
    )
    found, known = parse_probe(done.stdout, at="t"), probe_machine(LocalTransport())
    assert (found.host, found.clusters, found.abi) == (known.host, known.clusters, known.abi)
    assert done.stderr == ""


def test_nothing_told_is_none():
    found = probed()
    assert found.host.cpu is found.host.cores is found.host.os is found.host.soc is None
    assert (found.clusters, found.zones_c, found.abi) == ((), (), None)
    assert (found.android_api, found.memory_bytes, found.root) == (None, None, False)


@pytest.mark.parametrize(
    ("maker", "part", "name"),
    [
        ("0x41", "0xd05", "Cortex-A55"),
        ("0x41", "0xd03", "Cortex-A53"),
        ("0x41", "0xd44", "Cortex-X1"),
        ("0x51", "0x804", "Kryo 4xx Gold"),
        ("0x41", "0xfff", "0xfff"),
        ("0x61", "0xd05", "0xd05"),
    ],
)
def test_designs_have_names_where_they_are_known(maker, part, name):
    (cluster,) = probed(**cpuinfo(part, part, maker=maker)).clusters
    assert cluster == Cluster(cores=(0, 1), part=name)


def test_a_kernel_without_its_clocks_still_tells_designs_apart():
    found = probed(online="0-3", **cpuinfo("0xd03", "0xd03", "0xd08", "0xd08"))
    assert [each.cores for each in found.clusters] == [(0, 1), (2, 3)]
    assert found.host.cpu == "2x Cortex-A53 + 2x Cortex-A72"
    assert found.host.cores == 4


def test_cores_that_are_off_are_in_no_cluster():
    clocks = {f"most.{core}": 2_000_000 for core in range(8)}
    shared = {f"related.{core}": "0 1 2 3 4 5 6 7" for core in range(8)}
    (cluster,) = probed(online="0-1,6", **clocks, **shared).clusters
    assert cluster.cores == (0, 1, 6)


def test_a_device_with_a_core_off_is_the_same_device():
    whole = probed(present="0-1", online="0-1", **cpuinfo("0xd05", "0xd05"))
    less = probed(present="0-1", online="0", **cpuinfo("0xd05"))
    assert (whole.host.cores, less.host.cores) == (2, 2)


def test_cores_with_a_clock_each_are_one_cluster_where_they_are_alike():
    """As on a PC, where every core is a policy of its own."""
    own = {f"related.{core}": core for core in range(4)}
    most = {"most.0": 4_000_000, "most.1": 4_000_000, "most.2": 5_000_000, "most.3": 4_000_000}
    assert [each.cores for each in probed(**own, **most).clusters] == [(0, 1, 3), (2,)]


def test_equal_clusters_with_clocks_of_their_own_stay_apart():
    two = {"related.0": "0 1", "related.1": "0 1", "related.2": "2 3", "related.3": "2 3"}
    most = {f"most.{core}": 2_000_000 for core in range(4)}
    assert [each.cores for each in probed(**two, **most).clusters] == [(0, 1), (2, 3)]


@pytest.mark.parametrize(
    ("facts", "abi"),
    [
        ({"machine": "aarch64", "bits": 64}, "aarch64"),
        ({"machine": "aarch64", "bits": 32}, "armv7l"),
        ({"machine": "aarch64", "ro_product_cpu_abi": "armeabi-v7a"}, "armv7l"),
        ({"machine": "aarch64", "ro_product_cpu_abi": "arm64-v8a"}, "aarch64"),
        ({"machine": "aarch64", "ro_product_cpu_abi": "mips"}, None),
        ({"machine": "riscv64"}, "riscv64"),
    ],
)
def test_programs_are_made_for_the_user_land_not_for_the_kernel(facts, abi):
    assert probed(**facts).abi == abi


@pytest.mark.parametrize(
    ("facts", "soc", "board"),
    [
        (
            {"ro_soc_manufacturer": "Google", "ro_soc_model": "Tensor"},
            "Google Tensor",
            None,
        ),
        ({"ro_board_platform": "kona", "ro_hardware": "qcom"}, "kona", None),
        ({"ro_hardware": "qcom"}, "qcom", None),
        (
            {"ro_product_manufacturer": "samsung", "ro_product_model": "SM-S911B"},
            None,
            "samsung SM-S911B",
        ),
        (
            {"ro_product_manufacturer": "Fairphone", "ro_product_model": "Fairphone 5"},
            None,
            "Fairphone 5",
        ),
        (
            {
                "tree_model": "Raspberry Pi 5 Model B Rev 1.0 ",
                "tree_compatible": "raspberrypi,5-model-b brcm,bcm2712 ",
            },
            "brcm,bcm2712",
            "Raspberry Pi 5 Model B Rev 1.0",
        ),
    ],
)
def test_chip_and_product_are_named_with_their_makers(facts, soc, board):
    host = probed(**facts).host
    assert (host.soc, host.board) == (soc, board)


WHOLE = said(
    {"load": "0.50", "zone.0": "cpu", "heat.0": 50_000},
    machine="aarch64",
    kernel="Linux 6.1",
    user=0,
    online="0-1",
    **{"most.0": 1_500_000, "most.1": 1_500_000},
    memory="4000000 kB",
    **cpuinfo("0xd08", "0xd08"),
)


@given(st.characters(codec="utf-8") | st.sampled_from("019.eakt-\t\n\r "))
@settings(max_examples=10)
def test_a_damaged_answer_is_refused_whole(character):
    whole = parse_probe(WHOLE, at="t")
    for at in range(len(WHOLE)):
        damaged = WHOLE[:at] + character + WHOLE[at + 1 :]
        with suppress(DeviceError):
            assert parse_probe(damaged, at="t") == whole


def test_a_cut_answer_is_refused_whole():
    for at in range(len(WHOLE) - 1):
        with pytest.raises(DeviceError, match="is not whole"):
            parse_probe(WHOLE[:at], at="t")


NAMES = ("online", "most.0", "related.0", "cpu.1", "memory", "ro_build_version_sdk")


@given(st.dictionaries(st.sampled_from(NAMES), st.text()))
def test_odd_values_are_no_error(facts):
    with suppress(DeviceError):
        assert probed(**facts).conditions.at == "t"
