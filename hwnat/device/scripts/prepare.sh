# Change settings, after settings.sh. `fixed`, `saver_off` and `screen_off` are yes or no; `governor`
# may be empty. What an earlier command changed and this one does not ask for is undone.
# shellcheck disable=SC2154 # the script that includes this one takes them as arguments
. settings.sh
wanted() {
  case $1 in
    fixed_performance) [ "$fixed" = yes ];;
    low_power) [ "$saver_off" = yes ];;
    screen) [ "$screen_off" = yes ];;
    governor.*) [ -n "$governor" ];;
  esac
}
for file in "$JOURNAL"/*; do
  old=; { read -r old <"$file"; } 2>/dev/null || continue
  name=${file##*/}
  wanted "$name" && continue
  undo "$name" "$old" && drop "$name" && echo "restored ${name%%.*}"
done
if [ "$fixed" = yes ]; then
  if note fixed_performance 0 && set_fixed true </dev/null >/dev/null 2>&1; then
    echo "set fixed_performance"
  else
    drop fixed_performance; echo "refused fixed_performance"
  fi
fi
if [ "$saver_off" = yes ]; then
  case $(settings get global low_power 2>/dev/null) in
    1)
      if note low_power 1 && settings put global low_power 0 </dev/null >/dev/null 2>&1; then
        echo "set low_power"
      else
        drop low_power; echo "refused low_power"
      fi;;
  esac
fi
if [ "$screen_off" = yes ]; then
  case $(dumpsys power 2>/dev/null | grep 'mWakefulness=') in
    *=Awake*|*=Dreaming*)
      if note screen 1 && input keyevent 223 </dev/null >/dev/null 2>&1; then
        echo "set screen"
      else
        drop screen; echo "refused screen"
      fi;;
  esac
fi
if [ -n "$governor" ]; then
  for d in /sys/devices/system/cpu/cpu[0-9]*; do
    c=${d##*cpu}; old=; { read -r old <"$d/cpufreq/scaling_governor"; } 2>/dev/null
    case $old in "$governor") echo "has governor"; continue;; ''|*[!a-z_]*) continue;; esac
    if note "governor.$c" "$old" && set_governor "$c" "$governor" 2>/dev/null; then
      echo "set governor"
    else
      drop "governor.$c"; echo "refused governor"
    fi
  done
fi
echo 'done'
