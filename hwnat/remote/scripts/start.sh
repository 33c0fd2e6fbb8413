# Start a block unless it was started before, and print `started`. Print `busy` instead while
# another block is running, with this setup or another one.
dir=$1 token=$2 most_s=$3
. alive.sh
. away.sh
here=$dir/block-$token
[ -d "$here" ] && echo started && exit 0
for block in "${dir%/*}"/*/block-*; do
  [ -d "$block" ] && alive "$block" && echo busy && exit 0
done
rm -rf "$dir"/block-*
mkdir -p "$dir/results" && mkdir "$here" && mv "$dir/plan-$token" "$here/plan" || exit 1
rm -f "$dir"/plan-*
away sh "$dir/driver" "$dir" "$token" "$most_s"
n=0
while [ ! -f "$here/pid" ] && [ "$n" -lt 40 ]; do n=$((n + 1)); sleep 0.1 || sleep 1; done
echo started
