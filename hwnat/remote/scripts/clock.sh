# clock sets `up`, the seconds since the device booted, and `boot`, the identifier of that boot.
# shellcheck disable=SC2034 # the scripts that include this one read them
clock() {
  up=; boot=
  { read -r up _ </proc/uptime; read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
  up=${up%%.*}
}
