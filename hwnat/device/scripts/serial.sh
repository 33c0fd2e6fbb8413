# Print the SHA-256 of the device's serial number. The plain number never leaves the device, because
# what is printed may be recorded.
v=
for k in ro.serialno ro.boot.serialno; do
  [ -n "$v" ] || v=$(getprop "$k" 2>/dev/null)
done
for f in /proc/device-tree/serial-number /etc/machine-id; do
  [ -n "$v" ] || v=$(tr -d '\000\n' 2>/dev/null <"$f")
done
[ -z "$v" ] || printf %s "$v" | sha256sum
