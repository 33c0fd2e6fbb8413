# quotas prints the CPU quota of each control group that this shell is in, and how long the group was
# stopped by it. Inside a container, the group's own folder is that of the mount.
quotas() {
  k=0; [ -r /proc/self/cgroup ] || return 0
  while IFS=: read -r _ names path; do
    case ,$names, in
      ,,) top=/sys/fs/cgroup;;
      *,cpu,*) top=/sys/fs/cgroup/$names; [ -d "$top" ] || top=/sys/fs/cgroup/cpu;;
      *) continue;;
    esac
    path=${path%/}
    while :; do
      quota=; period=
      { read -r quota period <"$top$path/cpu.max"; } 2>/dev/null ||
        { read -r quota <"$top$path/cpu.cfs_quota_us" &&
          read -r period <"$top$path/cpu.cfs_period_us"; } 2>/dev/null
      case $quota in
        ''|max|-1) ;;
        *)
          k=$((k + 1)); say "quota.$k" "$quota $period"
          { while read -r name v; do
            case $name in
              throttled_usec) say "stopped_us.$k" "$v";;
              throttled_time) say "stopped_ns.$k" "$v";;
            esac
          done <"$top$path/cpu.stat"; } 2>/dev/null;;
      esac
      [ -n "$path" ] || break
      path=${path%/*}
    done
  done </proc/self/cgroup
}
# state prints the device's state. Its body is a subshell, so it changes nothing of the script that
# includes it; outside Android it starts no program, for it runs before and after each visit. What
# the system does not report is left out.
state() (
  . say.sh
  for d in /sys/devices/system/cpu/cpu[0-9]*; do
    c=${d##*cpu}
    first "governor.$c" "$d/cpufreq/scaling_governor"
    first "clock.$c" "$d/cpufreq/scaling_cur_freq"
    first "limit.$c" "$d/cpufreq/scaling_max_freq"
  done
  for d in /sys/class/thermal/thermal_zone*; do
    first "zone.${d##*zone}" "$d/type"
    first "heat.${d##*zone}" "$d/temp"
  done
  v=; { read -r v _ </proc/loadavg; } 2>/dev/null; say load "$v"
  quotas
  if command -v dumpsys >/dev/null 2>&1; then
    set -f; IFS=$newline
    hal=; k=0
    for l in $(dumpsys thermalservice 2>/dev/null); do
      case $l in
        *'Thermal Status: '*) say status "${l##*: }";;
        *'Current temperatures from HAL:'*) hal=1;;
        *'Temperature{'*) [ -z "$hal" ] || say "reading.$((k += 1))" "${l#*Temperature}";;
        *) hal=;;
      esac
    done
    for l in $(dumpsys battery 2>/dev/null); do
      l=${l#"${l%%[! ]*}"}
      case $l in
        'level: '*) say battery "${l#*: }";;
        'temperature: '*) say battery_heat "${l#*: }";;
      esac
    done
    for l in $(dumpsys power 2>/dev/null | grep 'mWakefulness='); do
      say wakefulness "${l##*=}"
    done
    say low_power "$(settings get global low_power 2>/dev/null)"
  fi
  facts_end
)
