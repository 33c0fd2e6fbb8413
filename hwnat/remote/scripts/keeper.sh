# Restore the settings once the host is gone and no block is running. This process gives up after a
# while if settings cannot be restored; the journal then stays for the next command.
folder=$1 token=$2 step_s=$3
. lease.sh
. ../../device/scripts/settings.sh
echo $$ >"$LEASE/keeper"
while sleep "$step_s"; do
  whose; [ "$owner" = "$token" ] || exit 0
  age; [ "$old" -le "$most" ] && continue
  busy && continue
  claim || continue
  own restoring the-device-itself
  n=0
  while beat 30; ! restore; do
    n=$((n + 1)); [ "$n" -lt 20 ] || exit 1
    sleep "$step_s"
  done
  rm -rf "$LEASE"
  exit 0
done
