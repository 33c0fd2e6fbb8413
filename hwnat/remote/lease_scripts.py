"""What hwnat asks a device's shell to do to hold it; the words of a script are its arguments.

Every one is a constant. They need what `hwnat.transport.scripts` needs, and `setsid` or `nohup`,
`grep` and a readable /proc. What a lease is, `hwnat.remote.lease` says.
"""

from typing import Final

from hwnat.device import settings

#: $1 is the folder, $2 the token. `age` sets `old`, seconds since the owner was heard of, and
#: `most`, after how many it is given up; a device that was started anew has forgotten it. Of
#: several that take over from an owner, the one that makes a folder named after it does: `claim`.
_LEASE: Final = f"""
L=$1/lease J=$L/journal
{settings.SETTINGS}
tick() {{
  up=; boot=
  {{ read -r up rest </proc/uptime; read -r boot </proc/sys/kernel/random/boot_id; }} 2>/dev/null
  up=${{up%%.*}}; [ -n "$up" ] || up=$(date +%s)
}}
beat() {{ tick; echo "$up ${{1:-0}} $boot" >"$L/beat.$$" && mv -f "$L/beat.$$" "$L/beat"; }}
own() {{ echo "$1 $2" >"$L/owner.$$" && mv -f "$L/owner.$$" "$L/owner"; }}
whose() {{ owner=; host=; {{ read -r owner host rest <"$L/owner"; }} 2>/dev/null; }}
age() {{
  at=; most=; when=; {{ read -r at most when <"$L/beat"; }} 2>/dev/null; tick
  case $at$most in ''|*[!0-9]*) at=0 most=0;; esac
  [ "$when" = "$boot" ] && [ "$at" -le "$up" ] || {{ at=0 most=-1; }}
  old=$((up - at))
}}
claim() {{
  case $owner in ''|*[!0-9a-z]*) next=$L/next-none;; *) next=$L/next-$owner;; esac
  if ! mkdir "$next" 2>/dev/null; then
    [ -n "$(find "$next" -maxdepth 0 -mmin +1 2>/dev/null)" ] || return 1
  fi
  was=$owner; whose
  [ "$owner" = "$was" ] || {{ rmdir "$next"; return 1; }}
}}
busy() {{
  for each in "$1"/block-* "$1"/*/block-* "$1"/*/*/block-*; do
    p=; {{ read -r p <"$each/pid"; }} 2>/dev/null
    case $p in ''|*[!0-9]*) continue;; esac
    grep -q "${{each##*-}}" "/proc/$p/cmdline" 2>/dev/null && return 0
  done
  return 1
}}
"""
#: Of a process on the device. $3 is how long it sleeps. It gives up after a while where the device
#: does not let it restore; the journal stays for the next command.
KEEPER: Final = f"""{_LEASE}
echo $$ >"$L/keeper"
while sleep "$3"; do
  whose; [ "$owner" = "$2" ] || exit 0
  age; [ "$old" -le "$most" ] && continue
  busy "$1" && continue
  claim || continue
  own restoring the-device-itself
  n=0
  while beat 30; ! restore; do
    n=$((n + 1)); [ "$n" -lt 20 ] || exit 1
    sleep "$3"
  done
  rm -rf "$L"
  exit 0
done
"""
#: $3 names this host; $4 is how long it is waited for; $5 holds the tokens of commands of this host
#: that are known to have ended; $6 is `take`, or `look` if nothing is to be taken where there is no
#: lease; $7 is KEEPER and $8 how long it sleeps.
TAKE: Final = f"""{_LEASE}
mkdir -p "$1" || exit 1
[ "$6" = look ] && [ ! -d "$L" ] && echo free && exit 0
if ! mkdir "$L" 2>/dev/null; then
  [ -d "$L" ] || exit 1
  whose; age
  case " $5 " in
    *" ${{owner:-none}} "*) ;;
    *)
      [ -n "$owner" ] || [ -z "$(find "$L" -maxdepth 0 -mmin -1 2>/dev/null)" ] || old=0 most=1
      [ "$old" -le "$most" ] && echo "held $old $((most - old)) $host" && exit 0;;
  esac
  [ "$6" = look ] && busy "$1" && echo busy && exit 0
  claim || {{ echo "held 0 $4 $host"; exit 0; }}
  echo left
fi
beat "$4" && own "$2" "$3" || exit 1
rm -rf "$L"/next-*
away=setsid; command -v setsid >/dev/null 2>&1 || away=nohup
"$away" sh -c "$7" keeper "$1" "$2" "$8" </dev/null >/dev/null 2>&1 &
echo taken
"""
RENEW: Final = f"""{_LEASE}
whose; [ "$owner" = "$2" ] || {{ echo lost; exit 0; }}
beat "$3" || exit 1
echo renewed
"""
#: The block of an earlier command is measured with the settings it began with.
PREPARE: Final = f"""{_LEASE}
whose; [ "$owner" = "$2" ] || {{ echo lost; exit 0; }}
busy "$1" && echo busy && exit 0
shift 2
{settings.PREPARE}"""
#: A block that goes on keeps its settings; the keeper puts them back when it has ended.
LEAVE: Final = f"""{_LEASE}
whose; [ "$owner" = "$2" ] || {{ echo lost; exit 0; }}
busy "$1" && beat 0 && echo busy && exit 0
restore || {{ beat 0; exit 0; }}
p=; {{ read -r p <"$L/keeper"; }} 2>/dev/null
case $p in
  ''|*[!0-9]*) ;;
  *) grep -q "$2" "/proc/$p/cmdline" 2>/dev/null && kill "$p" 2>/dev/null;;
esac
rm -rf "$L"
echo left
"""
