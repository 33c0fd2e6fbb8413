"""What hwnat asks a device's shell to do with files; the words of a script are its arguments.

Every one is a constant: nothing that a device printed, and no name, is ever part of it. They need
a POSIX shell, `mkdir`, `mv`, `chmod`, `rm`, `wc` and `sha256sum` or `md5sum`: toybox, BusyBox and
GNU have them.
"""

import re
import secrets
from typing import Final, Literal, Protocol, cast

from hwnat.errors import DeviceError
from hwnat.transport.base import Completed, Probe
from hwnat.transport.framing import KNOWS_KILL
from hwnat.transport.words import device_path, printable

#: What a command may print, both streams together; an endless one must not fill this memory.
OUTPUT_BYTES: Final = 64 << 20

# How a script ends; a shell and its utilities use other numbers.
SAME: Final = 40
IS_FOLDER: Final = 41
NO_FOLDER: Final = 42
NO_HASH: Final = 43
DAMAGED: Final = 44
NO_FILE: Final = 45

_HASHES: Final = f"""
same() {{
  if command -v sha256sum >/dev/null 2>&1; then h=$(sha256sum <"$1") && [ "${{h%% *}}" = "$2" ]
  elif command -v md5sum >/dev/null 2>&1; then h=$(md5sum <"$1") && [ "${{h%% *}}" = "$3" ]
  else exit {NO_HASH}; fi
}}
"""
#: $1 target, $2 its folder, $3 mode, $4 SHA-256, $5 MD5. What a push that was cut off left behind
#: an hour ago goes: a later one has another name.
BEFORE_PUSH: Final = f"""{_HASHES}
[ -d "$1" ] && exit {IS_FOLDER}
[ -f "$1" ] && same "$1" "$4" "$5" && chmod "$3" "$1" && exit {SAME}
mkdir -p "$2" || exit {NO_FOLDER}
find "$2" -maxdepth 1 -type f -name '.hwnat-*.part' -mmin +60 -exec rm -f {{}} + 2>/dev/null
exit 0
"""
#: $1 target, $2 the copy, $3 mode, $4 SHA-256, $5 MD5.
AFTER_PUSH: Final = f"""{_HASHES}
same "$2" "$4" "$5" || {{ rm -f "$2"; exit {DAMAGED}; }}
[ -d "$1" ] && exit {IS_FOLDER}
chmod "$3" "$2" && mv -f "$2" "$1"
"""
#: $1 source.
BEFORE_PULL: Final = f"""
[ -f "$1" ] || exit {NO_FILE}
n=$(wc -c <"$1") || exit 1
if command -v sha256sum >/dev/null 2>&1; then h=$(sha256sum <"$1") && echo "sha256" $n "${{h%% *}}"
elif command -v md5sum >/dev/null 2>&1; then h=$(md5sum <"$1") && echo "md5" $n "${{h%% *}}"
else exit {NO_HASH}; fi
"""
#: $1 folder, $2 a word for a file's name. Only a kernel that refuses to start a file ends with 126.
_PROBE: Final = f"""
mkdir -p "$1" || exit {NO_FOLDER}
f=$1/.hwnat-$2.part
{{ printf '#!/bin/sh\\nexit 0\\n' >"$f" && chmod 700 "$f"; }} || exit {NO_FOLDER}
"$f" >/dev/null 2>&1; r=$?
rm -f "$f"
echo executable=$r
{KNOWS_KILL} && echo timeout=1
for each in sha256sum md5sum; do
  command -v $each >/dev/null 2>&1 && echo $each=1
done
df -P -k "$1" 2>/dev/null | tail -n 1 | {{ read -r a b c d e; echo free=$d; }}
exit 0
"""
_DESCRIBED: Final = re.compile(r"(sha256|md5) (\d{1,15}) ([0-9a-f]{64}|[0-9a-f]{32})\n")

#: Words in an error of a device -> what they mean and what to do.
_CAUSES: Final = (
    ("no space left", "its disk is full; delete files there"),
    # So a shell of a board says it that has no words for it.
    ("i/o error", "its disk is full or broken; delete files there"),
    ("quota exceeded", "its disk quota is used up; delete files there"),
    ("file too large", "it takes no file of this size"),
    ("read-only file system", "the folder cannot be written"),
    ("permission denied", "its user may not do this"),
    ("operation not permitted", "its user may not do this"),
    ("not a directory", "a file is in the way of a folder"),
    ("file name too long", "the name is too long for it"),
    ("no such file", "the folder is gone"),
)


class Run(Protocol):
    """The method `run` of a transport."""

    def __call__(self, argv: list[str], *, timeout_s: float) -> Completed:
        """Run a command."""
        ...


def script(text: str, *words: str) -> list[str]:
    """Return the command that runs a script of this module."""
    return ["sh", "-c", text, "sh", *words]


def refused(what: str, printed: str) -> DeviceError:
    """Return the error for something a device would not do, with cause and next step."""
    quoted = printable(printed, limit=200) or "nothing"
    cause = next((means for words, means in _CAUSES if words in printed.lower()), None)
    step = "ask it with: hwnat device doctor" if cause is None else "or set another workdir for it"
    return DeviceError(f"{what}: {cause or 'it does not say why'}, {step}. It printed: {quoted}")


def described(printed: str) -> tuple[Literal["sha256", "md5"], int, str] | None:
    """Return hash, size in bytes and digest of what `BEFORE_PULL` printed; None for garbage."""
    found = _DESCRIBED.fullmatch(printed)
    if found is None:
        return None
    kind = cast('Literal["sha256", "md5"]', found[1])
    return kind, int(found[2]), found[3]


def probe(run: Run, workdir: str, *, address: str, client: str | None) -> Probe:
    """Make the working folder of a device and ask what can be done there.

    Raises:
        DeviceError: the device does not answer, or the folder cannot be made.
    """
    folder = device_path(workdir.rstrip("/") or "/.")
    done = run(script(_PROBE, folder, secrets.token_hex(8)), timeout_s=20)
    if done.returncode:
        what = f"Cannot work in {printable(workdir)} of {address}"
        raise refused(what, done.stderr)
    facts = dict(re.findall(r"^(\w+)=(\d{1,15})$", done.stdout, re.MULTILINE))
    hashes: tuple[Literal["sha256", "md5"], ...] = ("sha256", "md5")
    free = facts.get("free")
    return Probe(
        address=address,
        client=client,
        workdir=workdir,
        executable=facts.get("executable") not in {None, "126"},
        hash=next((kind for kind in hashes if f"{kind}sum" in facts), None),
        time_limit="timeout" in facts,
        free_bytes=None if free is None else int(free) * 1024,
    )
