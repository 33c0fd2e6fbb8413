# Print what does not change while a device is on, a line `--`, and its state.
# shellcheck disable=SC2013 # IFS is a newline, so each word is a line
. state.sh
identity() (
  . say.sh
  if command -v getprop >/dev/null 2>&1; then
    for k in ro.build.version.sdk ro.build.version.release ro.build.fingerprint \
      ro.product.manufacturer ro.product.model ro.soc.manufacturer ro.soc.model \
      ro.board.platform ro.hardware ro.product.cpu.abi; do
      say "$(echo "$k" | tr . _)" "$(getprop "$k" 2>/dev/null)"
    done
  fi
  say machine "$(uname -m 2>/dev/null)"
  say kernel "$(uname -sr 2>/dev/null)"
  say user "$(id -u 2>/dev/null)"
  say bits "$(getconf LONG_BIT 2>/dev/null)"
  first online /sys/devices/system/cpu/online
  first present /sys/devices/system/cpu/present
  for d in /sys/devices/system/cpu/cpu[0-9]*; do
    c=${d##*cpu}
    first "related.$c" "$d/cpufreq/related_cpus"
    first "most.$c" "$d/cpufreq/cpuinfo_max_freq"
    first "capacity.$c" "$d/cpu_capacity"
  done
  for f in model compatible; do
    [ -r "/sys/firmware/devicetree/base/$f" ] || continue
    say "tree_$f" "$(tr '\000' ' ' <"/sys/firmware/devicetree/base/$f" 2>/dev/null)"
  done
  set -f; IFS=$newline; k=0
  for l in $(grep '^MemTotal:' /proc/meminfo 2>/dev/null); do
    l=${l#*:}; say memory "${l#"${l%%[! ]*}"}"
  done
  for l in $(grep '^PRETTY_NAME=' /etc/os-release 2>/dev/null); do say release "${l#*=}"; done
  w='processor|model name|Hardware|Model|CPU implementer|CPU part'
  for l in $(grep -E "^($w)[[:blank:]]*:" /proc/cpuinfo 2>/dev/null | tr '\t' ' '); do
    k=$((k + 1)); say "cpu.$k" "$l"
  done
  facts_end
)
identity; echo --; state
