"""What hwnat changes on a device while models are timed, and how it is put back.

Every previous value is noted in a journal on the device before the change. Whoever restores, this
host, the next one or the device itself, reads that journal: names that are known, values that are
valid, nothing else. What a device printed is never part of a command.
"""

from dataclasses import dataclass
from typing import Final

from hwnat.records.device import DeviceSpec
from hwnat.records.machine import Machine

#: Since when Android has a level of clocks that it can sustain.
_FIXED_SINCE: Final = 30

#: Needs J, the journal: a folder with a file for each setting. `note NAME OLD` fails if it cannot
#: be written down, so that nothing is changed then; the value noted first stands. `undo NAME OLD`
#: ends with 2 if that means nothing, and with 1 if the device refuses.
SETTINGS: Final = """
note() {
  [ -f "$J/$1" ] && return 0
  mkdir -p "$J" && echo "$2" >"$J/.$1" || return 1
  v=; read -r v <"$J/.$1"; [ "$v" = "$2" ] && mv -f "$J/.$1" "$J/$1"
}
drop() { rm -f "$J/$1"; }
governor() { echo "$2" >"/sys/devices/system/cpu/cpu$1/cpufreq/scaling_governor"; }
fixed() { cmd power set-fixed-performance-mode-enabled "$1"; }
undo() {
  case $1 in
    fixed_performance) [ "$2" = 0 ] || return 2; fixed false;;
    low_power)
      case $2 in
        0|1) settings put global low_power "$2";;
        null) settings delete global low_power;;
        *) return 2;;
      esac;;
    screen) [ "$2" = 1 ] || return 2; input keyevent 224;;
    governor.*)
      case ${1#governor.} in ''|*[!0-9]*) return 2;; esac
      case $2 in ''|*[!a-z_]*) return 2;; esac
      governor "${1#governor.}" "$2";;
    *) return 2;;
  esac </dev/null >/dev/null 2>&1 || return 1
}
restore() {
  failed=0
  for each in "$J"/*; do
    old=; { read -r old <"$each"; } 2>/dev/null || continue
    name=${each##*/}
    undo "$name" "$old"
    case $? in
      0) drop "$name"; echo "restored ${name%%.*}";;
      2) drop "$name"; echo "damaged ${name%%.*}";;
      *) echo "failed ${name%%.*}"; failed=1;;
    esac
  done
  return $failed
}
"""
#: Follows SETTINGS. $1 to $3 are 1 or 0: fixed-performance mode, battery saver off, screen off; $4
#: is a governor or empty. What an earlier command changed and this one does not want is undone.
PREPARE: Final = """
wanted() {
  case $1 in
    fixed_performance) [ "$2" = 1 ];;
    low_power) [ "$3" = 1 ];;
    screen) [ "$4" = 1 ];;
    governor.*) [ -n "$5" ];;
  esac
}
for each in "$J"/*; do
  old=; { read -r old <"$each"; } 2>/dev/null || continue
  name=${each##*/}
  wanted "$name" "$@" && continue
  undo "$name" "$old" && drop "$name" && echo "restored ${name%%.*}"
done
if [ "$1" = 1 ]; then
  if note fixed_performance 0 && fixed true </dev/null >/dev/null 2>&1; then
    echo "set fixed_performance"
  else
    drop fixed_performance; echo "refused fixed_performance"
  fi
fi
if [ "$2" = 1 ]; then
  case $(settings get global low_power 2>/dev/null) in
    1)
      if note low_power 1 && settings put global low_power 0 </dev/null >/dev/null 2>&1; then
        echo "set low_power"
      else
        drop low_power; echo "refused low_power"
      fi;;
  esac
fi
if [ "$3" = 1 ]; then
  case $(dumpsys power 2>/dev/null | grep 'mWakefulness=') in
    *=Awake*|*=Dreaming*)
      if note screen 1 && input keyevent 223 </dev/null >/dev/null 2>&1; then
        echo "set screen"
      else
        drop screen; echo "refused screen"
      fi;;
  esac
fi
if [ -n "$4" ]; then
  for d in /sys/devices/system/cpu/cpu[0-9]*; do
    c=${d##*cpu}; old=; { read -r old <"$d/cpufreq/scaling_governor"; } 2>/dev/null
    case $old in "$4") echo "has governor"; continue;; ''|*[!a-z_]*) continue;; esac
    if note "governor.$c" "$old" && governor "$c" "$4" 2>/dev/null; then
      echo "set governor"
    else
      drop "governor.$c"; echo "refused governor"
    fi
  done
fi
echo done
"""
#: Name in a journal -> what the setting is called, what it is set to, what remains if it cannot be.
WORDS: Final = {
    "fixed_performance": (
        "fixed-performance mode",
        "fixed-performance mode on",
        "it has no fixed-performance mode, so clocks stay free and the ratios are relied on",
    ),
    "low_power": ("battery saver", "battery saver off", "battery saver stays on: switch it off"),
    "screen": ("screen", "screen off", "the screen stays on: switch it off"),
    "governor": ("governor", "governor set", "it does not take the governor of the device file"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a device file asks for, as far as the device can have it.

    Attributes:
        words: arguments of PREPARE.
        hints: what it cannot have, and why.
    """

    words: tuple[str, str, str, str]
    hints: tuple[str, ...] = ()


#: For who only keeps others away.
UNCHANGED: Final = Wanted(words=("0", "0", "0", ""))


def wanted(spec: DeviceSpec, machine: Machine) -> Wanted:
    """Return which settings a device is to have while models are timed.

    The screen is off: it heats the phone and takes memory bandwidth. On a GPU it stays as it is.
    """
    hints = []
    api = machine.android_api
    fixed = spec.clocks == "fixed" and api is not None and api >= _FIXED_SINCE
    if spec.clocks == "fixed" and api is not None and not fixed:
        hints.append(f"Android API {api} has no fixed-performance mode, so clocks stay free")
    if spec.governor is not None and not machine.root:
        hints.append(f"only root may set governor '{spec.governor}', so it stays as it is")
    governor = spec.governor if spec.governor is not None and machine.root else ""
    flags = (fixed, api is not None, api is not None and spec.delegate != "gpu")
    first, second, third = ("1" if each else "0" for each in flags)
    return Wanted(words=(first, second, third, governor), hints=tuple(hints))
