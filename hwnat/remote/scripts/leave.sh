# Restore the settings and release the device. While a block is running, its settings are kept; the
# keeper restores them after the block has ended.
folder=$1 token=$2
. lease.sh
. ../../device/scripts/settings.sh
require_owner
busy && beat 0 && echo busy && exit 0
restore || { beat 0; exit 0; }
p=; { read -r p <"$LEASE/keeper"; } 2>/dev/null
case $p in
  ''|*[!0-9]*) ;;
  *) grep -q "$token" "/proc/$p/cmdline" 2>/dev/null && kill "$p" 2>/dev/null;;
esac
rm -rf "$LEASE"
echo left
