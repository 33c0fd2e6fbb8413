"""What hwnat asks a device's shell to do while it profiles; a script's words are its arguments.

Every one is a constant. They need what `hwnat.transport.scripts` needs, and `timeout`, `setsid` or
`nohup`, `grep`, `tail` and a readable /proc.

Under a setup's folder of the device lie

    driver            the script that carries out blocks
    block-TOKEN/      one block: its plan, the driver's number, how it ended
    results/          one file a visit, named by its job and the hash of its content

The driver survives a lost link and the host's death. It never starts a second block by itself.
"""

from typing import Final

#: $1 is a block's folder: whether its driver lives. A number may be another program's by now, but
#: no other program was started with the block's token.
_ALIVE: Final = """
alive() {
  p=; [ -f "$1/pid" ] && read -r p <"$1/pid"
  case $p in ''|*[!0-9]*) return 1;; esac
  grep -q "${1##*-}" "/proc/$p/cmdline" 2>/dev/null
}
"""
_CLOCK: Final = """
clock() {
  boot=; up=
  [ -r /proc/sys/kernel/random/boot_id ] && read -r boot </proc/sys/kernel/random/boot_id
  [ -r /proc/uptime ] && read -r up rest </proc/uptime
  up=${up%%.*}
}
"""

#: Follows the text that defines `state`. $1 folder, $2 token, $3 seconds after which no visit is
#: begun. The plan is lines of the three words below, see `hwnat.remote.job.plan_text`.
#: A command is started by a shell that says how it ended, for `timeout` does not tell reliably. The
#: state after a visit is that before the next, which begins at once.
DRIVER: Final = f"""{_CLOCK}
dir=$1 token=$2 most=$3
here=$dir/block-$token mark=hwnat-$token bad=0
run='trap "exit 124" TERM; "$@"; r=$?; printf "\\n%s status %s\\n" "$0" "$r"; [ "$r" = 0 ]'
hash=sha256sum; command -v sha256sum >/dev/null 2>&1 || hash=md5sum
echo $$ >"$here/pid.part" && mv "$here/pid.part" "$here/pid"
clock; began=$up
finish() {{ echo "$1" >"$here/status"; exit 0; }}
full() {{ rm -f "$here/part" "$here/err"; finish full; }}
visit() {{
  job=$1 limit=$2 failed=
  [ -e "$here/stop" ] && finish stopped
  clock; [ -n "$up" ] && [ "$((up - began))" -gt "$most" ] && finish late
  for each in "$dir/results/$job".*; do [ -e "$each" ] && return 1; done
  {{
    printf '%s visit\\n' "$mark"; printf '%s\\n' "$@" "$boot" "$up"
    [ -f "$here/state" ] || state >"$here/state"
    printf '%s before\\n' "$mark"; cat "$here/state"
  }} >"$here/part" 2>/dev/null
  return 0
}}
part() {{
  {{
    printf '\\n%s part\\n' "$mark"
    if ! timeout -k 2 "$limit" sh -c "$run" "$mark" "$@" </dev/null 2>"$here/err"; then
      failed=1; printf '\\n%s errors\\n' "$mark"; tail -c 1000 "$here/err"
    fi
  }} >>"$here/part" 2>/dev/null
}}
keep() {{
  clock
  {{
    state >"$here/state"
    printf '\\n%s after\\n%s\\n' "$mark" "$up"; cat "$here/state"
    printf '\\n%s end\\n' "$mark"
  }} >>"$here/part" 2>/dev/null
  [ "$(tail -n 1 "$here/part")" = "$mark end" ] || full
  h=$("$hash" <"$here/part") && mv "$here/part" "$dir/results/$job.${{h%% *}}" || full
  if [ -n "$failed" ]; then bad=$((bad + 1)); else bad=0; fi
  [ "$bad" -lt 3 ] || finish failing
}}
. "$here/plan"
finish done
"""
#: $1 folder, $2 token, $3 as of the driver. A block is started once, however often this is asked;
#: it prints `started`, or `busy` while another block runs, be it of another setup.
START: Final = f"""{_ALIVE}
here=$1/block-$2
[ -d "$here" ] && echo started && exit 0
for each in "${{1%/*}}"/*/block-*; do
  [ -d "$each" ] && alive "$each" && echo busy && exit 0
done
rm -rf "$1"/block-*
mkdir -p "$1/results" && mkdir "$here" && mv "$1/plan-$2" "$here/plan" || exit 1
rm -f "$1"/plan-*
away=; command -v setsid >/dev/null 2>&1 && away=setsid || away=nohup
"$away" sh "$1/driver" "$1" "$2" "$3" </dev/null >/dev/null 2>&1 &
n=0
while [ ! -f "$here/pid" ] && [ "$n" -lt 40 ]; do n=$((n + 1)); sleep 0.1 || sleep 1; done
echo started
"""
#: $1 folder, $2 a mark drawn for this call, $3 token; the rest are names of results that the host
#: has and that go. The driver is looked for before the results are listed: if it has ended, they
#: are all there.
POLL: Final = f"""{_ALIVE}{_CLOCK}
dir=$1 mark=$2 here=$1/block-$3; shift 3
[ "$#" -gt 0 ] && (cd "$dir/results" 2>/dev/null && rm -f "$@")
clock; lives=no; alive "$here" && lives=yes
status=; [ -f "$here/status" ] && read -r status <"$here/status"
free=; [ "$lives" = yes ] || free=$(df -P -k "$dir" 2>/dev/null | tail -n 1 |
  {{ read -r a b c d e; echo "$d"; }})
case $free in *[!0-9]*) free=;; esac
printf '%s\\n' "boot=$boot" "up=$up" "lives=$lives" "status=$status" "free=$free"
n=0
for each in "$dir"/results/*.*; do
  [ -f "$each" ] || continue
  n=$((n + 1)); [ "$n" -gt 64 ] && printf '\\n%s more\\n' "$mark" && break
  printf '\\n%s file %s\\n' "$mark" "${{each##*/}}"; cat "$each"
done
printf '\\n%s end\\n' "$mark"
"""
#: $1 folder, $2 token, $3 seconds in which the visit under way may end by itself; after that
#: nothing comes of it.
STOP: Final = f"""{_ALIVE}
here=$1/block-$2
[ -d "$here" ] || exit 0
: >"$here/stop"
n=0
while alive "$here" && [ "$n" -lt "$3" ]; do n=$((n + 1)); sleep 1; done
alive "$here" && kill -9 "$p"
exit 0
"""
#: $1 is the folder of all setups. Those of which nothing was to be kept have a dash in their names.
SWEEP: Final = """
rm -rf "$1"/*-*
"""
#: $1 is some files in one, $2 a program that hashes; then the path and size in bytes of each, in
#: order. It prints the hashes.
CUT: Final = """
whole=$1 hash=$2 at=1; shift 2
while [ "$#" -gt 1 ]; do
  tail -c +"$at" "$whole" | head -c "$2" >"$1.part" && mv -f "$1.part" "$1" && "$hash" "$1"
  at=$((at + $2)); shift 2
done
rm -f "$whole"
"""
