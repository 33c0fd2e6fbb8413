# Stop a block. Its current visit may end by itself within `wait_s`; after that it is discarded.
dir=$1 token=$2 wait_s=$3
. alive.sh
here=$dir/block-$token
[ -d "$here" ] || exit 0
: >"$here/stop"
n=0
while alive "$here" && [ "$n" -lt "$wait_s" ]; do n=$((n + 1)); sleep 1; done
alive "$here" && kill -9 "$p"
exit 0
