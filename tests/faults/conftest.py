"""Fixtures: a phone and a board for many profiles, each of which finds it as new."""

import json
import os
import sys
import time
from pathlib import Path

import pytest
from played.adbd import Adbd
from played.fixtures import Board, Phone, need_ssh
from played.machine import Machine
from played.sshd import Sshd

pytest.register_assert_rewrite("faults.harness", "faults.rig")
from faults.harness import Run, describe, draw  # noqa: E402
from faults.rig import Rig  # noqa: E402

#: Of the disk that can be full.
DISK_MIB = 3


@pytest.fixture(scope="module")
def rigs(request, tmp_path_factory, adb_servers):
    """Return what makes a `Rig` in a new folder: `rigs(phone=True, small=False)`."""
    up, patch, path = {}, pytest.MonkeyPatch(), os.environ["PATH"]

    def build(phone, small):
        model = "phone 4+3+1" if phone else "board"
        place = tmp_path_factory.mktemp("machine")
        machine = Machine(place, model, disk_mib=DISK_MIB if small else None)
        request.addfinalizer(machine.close)
        if machine.reason is not None:
            pytest.skip(machine.reason)
        if phone:
            env = adb_servers("debian")
            for name, value in env.items():
                patch.setenv(name, value)
            adbd = Adbd(machine)
            adbd.start()
            request.addfinalizer(adbd.stop)
            return Phone(adbd, machine, f"{env['HOME']}/bin/adb")
        need_ssh()
        server = Sshd(tmp_path_factory.mktemp("board") / "ssh", machine)
        server.start()
        request.addfinalizer(server.stop)
        return Board(server, machine)

    def find(*, phone, small):
        folder = tmp_path_factory.mktemp("run")
        if (phone, small) not in up:
            up[phone, small] = Rig(build(phone, small), tmp_path_factory.mktemp("first"))
        rig = up[phone, small] = up[phone, small].reset(folder)
        if not phone:
            # Each board has a client of its own, which knows its key.
            patch.setenv("PATH", f"{rig.link.client.parent}:{path}")
        site.append(str(rig.site))
        sys.path.insert(0, str(rig.site))
        return rig

    site: list[str] = []
    yield find
    for each in site:
        sys.path.remove(each)
    patch.undo()


@pytest.fixture
def survive(rigs):
    """Profile while the faults of a seed befall it; HWNAT_FAULT_REPORT names a file for a line."""

    def go(seed, *, phone):
        faults = draw(seed, phone=phone)
        small = any(each.kind.name == "disk full" for each in faults)
        run = Run(rigs(phone=phone, small=small), faults)
        began, problem = time.monotonic(), None
        try:
            run.go()
        except BaseException as failed:
            problem = str(failed)[:300]
            raise
        finally:
            log = "\n".join([describe(faults), *run.log])
            sys.stdout.write(f"{log}\n")
            if path := os.environ.get("HWNAT_FAULT_REPORT"):
                line = {
                    "seed": seed,
                    "phone": phone,
                    "faults": [each.kind.name for each in faults if each.begun is not None],
                    "failed": [each.kind.name for each in faults if each.failed],
                    "commands": run.commands,
                    "messages": run.messages,
                    "took_s": time.monotonic() - began,
                    "problem": problem,
                }
                with Path(path).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")

    return go
