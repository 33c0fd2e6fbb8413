"""The first process of a device, in its own namespaces: it mounts what is there, and waits.

Its argument is a JSON object: `root`, the device's folder; `beside`, a folder for what it does not
see; `mounts`, lists of what is mounted, see `mount`; `emulator`, the file that runs programs of
another processor, or null; `namespaces`, the options of `unshare` with which it goes on once that
is set up. It answers each line of its stdin, a list as in `mounts`, with `ok`; at the end of its
stdin the device ends.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

RDONLY, NOEXEC, REMOUNT, BIND, REC = 1, 8, 32, 4096, 16384
#: What a file system was mounted with, and what keeps that: it may not be taken away here.
KEPT = {2: 2, 4: 4, 8: 8, 1024: 1024, 2048: 2048, 4096: 1 << 21}
#: ELF files for AArch64, and which bits of their head matter.
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
libc = ctypes.CDLL(None, use_errno=True)


def call(source, target, kind, flags, data=None):
    words = [None if each is None else os.fsencode(each) for each in (source, target, kind)]
    options = None if data is None else data.encode()
    if libc.mount(*words, ctypes.c_ulong(flags), options):
        problem = ctypes.get_errno()
        raise OSError(problem, os.strerror(problem), target)


def mount(kind, source, target):
    """Bind a file or folder, `bind` or `ro`; mount a file system; change one, `remount`."""
    if kind == "remount":
        call(None, target, None, REMOUNT | BIND | kept(target) | (NOEXEC if source else 0))
        return
    if kind in ("bind", "ro"):
        call(source, target, None, BIND | REC)
        if kind == "ro":
            call(None, target, None, REMOUNT | BIND | RDONLY | kept(target))
        return
    call("none", target, kind, NOEXEC if "noexec" in source else 0, source.replace("noexec,", ""))


def kept(target):
    flags = os.statvfs(target).f_flag
    return sum(keeps for had, keeps in KEPT.items() if flags & had and had != NOEXEC)


def emulate(folder, emulator):
    """Have the kernel start programs of the other processor with the emulator, in here only."""
    call("none", folder, "binfmt_misc", 0)
    Path(f"{folder}/register").write_text(rf":arm64:M::{MAGIC}:{MASK}:{emulator}:OCPF")


def say(word):
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main():
    # A first process adopts what others have left; so it need not wait for it.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    spec = json.loads(sys.argv[1])
    root = spec["root"]
    os.umask(0o022)
    if spec["emulator"]:
        # Not below the root, where it would be seen; it works as long as it is mounted. Only a
        # root may do this, so those who are none on the device become that afterwards.
        emulate(spec["beside"], spec["emulator"])
        again = [sys.executable, "-IS", __file__, json.dumps(spec | {"emulator": None})]
        os.execvp("unshare", ["unshare", *spec["namespaces"], *again])
    for kind, source, target in spec["mounts"]:
        mount(kind, source, root + target)
    os.chroot(root)
    os.chdir("/")
    say("ready")
    for line in sys.stdin:
        mount(*json.loads(line))
        say("ok")


if __name__ == "__main__":
    main()
