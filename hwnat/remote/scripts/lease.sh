# Functions for the scripts of a lease, which set `folder` and `token`. `age` sets `old`, the
# seconds since the last call of the owner, and `most`, the seconds after which the owner counts as
# gone; it is gone at once if the device has restarted. If several commands take over from an owner,
# `claim` succeeds for one: the command that creates the folder named after the owner.
# shellcheck disable=SC2034,SC2154 # see above
LEASE=$folder/lease JOURNAL=$folder/lease/journal
. clock.sh
tick() { clock; [ -n "$up" ] || up=$(date +%s); }
beat() { tick; echo "$up ${1:-0} $boot" >"$LEASE/beat.$$" && mv -f "$LEASE/beat.$$" "$LEASE/beat"; }
own() { echo "$1 $2" >"$LEASE/owner.$$" && mv -f "$LEASE/owner.$$" "$LEASE/owner"; }
whose() { owner=; host=; { read -r owner host _ <"$LEASE/owner"; } 2>/dev/null; }
age() {
  at=; most=; when=; { read -r at most when <"$LEASE/beat"; } 2>/dev/null; tick
  case $at$most in ''|*[!0-9]*) at=0 most=0;; esac
  if [ "$when" != "$boot" ] || [ "$at" -gt "$up" ]; then at=0 most=-1; fi
  old=$((up - at))
}
claim() {
  case $owner in ''|*[!0-9a-z]*) next=$LEASE/next-none;; *) next=$LEASE/next-$owner;; esac
  if ! mkdir "$next" 2>/dev/null; then
    [ -n "$(find "$next" -maxdepth 0 -mmin +1 2>/dev/null)" ] || return 1
  fi
  was=$owner; whose
  [ "$owner" = "$was" ] || { rmdir "$next"; return 1; }
}
require_owner() { whose; [ "$owner" = "$token" ] || { echo lost; exit 0; }; }
. alive.sh
busy() {
  for block in "$folder"/block-* "$folder"/*/block-* "$folder"/*/*/block-*; do
    alive "$block" && return 0
  done
  return 1
}
