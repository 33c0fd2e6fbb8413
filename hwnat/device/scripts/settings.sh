# The settings that hwnat changes. JOURNAL is a folder with a file for each previous value.
# note NAME OLD writes a value down and fails if it cannot, so that nothing is changed then; the
# value noted first stands. undo NAME OLD ends with 2 for an invalid pair and with 1 if the device
# refuses.
note() {
  [ -f "$JOURNAL/$1" ] && return 0
  mkdir -p "$JOURNAL" && echo "$2" >"$JOURNAL/.$1" || return 1
  v=; read -r v <"$JOURNAL/.$1"; [ "$v" = "$2" ] && mv -f "$JOURNAL/.$1" "$JOURNAL/$1"
}
drop() { rm -f "$JOURNAL/$1"; }
set_governor() { echo "$2" >"/sys/devices/system/cpu/cpu$1/cpufreq/scaling_governor"; }
set_fixed() { cmd power set-fixed-performance-mode-enabled "$1"; }
undo() {
  case $1 in
    fixed_performance) [ "$2" = 0 ] || return 2; set_fixed false;;
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
      set_governor "${1#governor.}" "$2";;
    *) return 2;;
  esac </dev/null >/dev/null 2>&1 || return 1
}
restore() {
  failed=0
  for file in "$JOURNAL"/*; do
    old=; { read -r old <"$file"; } 2>/dev/null || continue
    name=${file##*/}
    undo "$name" "$old"
    case $? in
      0) drop "$name"; echo "restored ${name%%.*}";;
      2) drop "$name"; echo "damaged ${name%%.*}";;
      *) echo "failed ${name%%.*}"; failed=1;;
    esac
  done
  return $failed
}
