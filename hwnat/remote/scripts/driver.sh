# Make the visits of a block. The driver survives a lost link and the end of the host. The lines of
# its plan call `visit`, `part` and `keep`. A shell starts each command and prints how it ended,
# because `timeout` does not report that reliably. The state after a visit also counts as the state
# before the next visit, which begins at once. A process that prints more than `most_bytes` has
# failed; `ulimit`, which counts blocks of 512 bytes, keeps it from filling the disk.
# shellcheck disable=SC2317 # the plan calls these functions
dir=$1 token=$2 most_s=$3
. ../../device/scripts/state.sh
. clock.sh
here=$dir/block-$token mark=hwnat-$token bad=0 most_bytes=1048576 most_blocks=131072
# shellcheck disable=SC2016 # for the inner shell
run='trap "exit 124" TERM; "$@"; r=$?; printf "\n%s status %s\n" "$0" "$r"; [ "$r" = 0 ]'
hash=sha256sum; command -v sha256sum >/dev/null 2>&1 || hash=md5sum
echo $$ >"$here/pid.part" && mv "$here/pid.part" "$here/pid"
clock; began=$up
finish() { echo "$1" >"$here/status"; exit 0; }
full() { rm -f "$here/part" "$here/out" "$here/err"; finish full; }
visit() {
  job=$1 limit_s=$2 failed=
  [ -e "$here/stop" ] && finish stopped
  clock; [ -n "$up" ] && [ "$((up - began))" -gt "$most_s" ] && finish late
  for file in "$dir/results/$job".*; do [ -e "$file" ] && return 1; done
  {
    printf '%s visit\n' "$mark"; printf '%s\n' "$@" "$boot" "$up"
    [ -f "$here/state" ] || state >"$here/state"
    printf '%s before\n' "$mark"; cat "$here/state"
  } >"$here/part" 2>/dev/null
  return 0
}
limited() (
  ulimit -f "$most_blocks" 2>/dev/null
  timeout -k 2 "$limit_s" sh -c "$run" "$mark" "$@" </dev/null >"$here/out" 2>"$here/err"
)
part() {
  well=yes; limited "$@" 2>/dev/null || well=
  n=0; [ -f "$here/out" ] && n=$(wc -c <"$here/out")
  {
    printf '\n%s part\n' "$mark"
    if [ "$n" -gt "$most_bytes" ]; then
      well=; printf '\n%s status 153\n' "$mark"
      echo "it printed $((n)) bytes; at most $most_bytes are read" >"$here/err"
    else
      cat "$here/out"
    fi
    [ -n "$well" ] || { failed=1; printf '\n%s errors\n' "$mark"; tail -c 1000 "$here/err"; }
  } >>"$here/part" 2>/dev/null
}
keep() {
  clock
  {
    state >"$here/state"
    printf '\n%s after\n%s\n' "$mark" "$up"; cat "$here/state"
    printf '\n%s end\n' "$mark"
  } >>"$here/part" 2>/dev/null
  [ "$(tail -n 1 "$here/part")" = "$mark end" ] || full
  h=$("$hash" <"$here/part") || full
  mv "$here/part" "$dir/results/$job.${h%% *}" || full
  if [ -n "$failed" ]; then bad=$((bad + 1)); else bad=0; fi
  [ "$bad" -lt 3 ] || finish failing
}
# shellcheck source=/dev/null
. "$here/plan"
finish 'done'
