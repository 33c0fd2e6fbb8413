# Print the state of a block, and its results between marks. `mark` is random. Further arguments are
# names of results that the host has stored; they are deleted. The driver is checked before the
# results are listed, so that the list is complete if the driver has ended. Of a file that is too
# large for a result, only the name is printed.
dir=$1 mark=$2 token=$3
. alive.sh
. clock.sh
shift 3
here=$dir/block-$token
[ "$#" -gt 0 ] && (cd "$dir/results" 2>/dev/null && rm -f "$@")
clock; lives=no; alive "$here" && lives=yes
status=; [ -f "$here/status" ] && read -r status <"$here/status"
free=
[ "$lives" = yes ] || free=$(df -P -k "$dir" 2>/dev/null | tail -n 1 | { read -r _ _ _ k _; echo "$k"; })
case $free in *[!0-9]*) free=;; esac
printf '%s\n' "boot=$boot" "up=$up" "lives=$lives" "status=$status" "free=$free"
n=0 sum=0
for file in "$dir"/results/*.*; do
  [ -f "$file" ] || continue
  size=$(wc -c <"$file"); n=$((n + 1))
  if [ "$n" -gt 64 ] || [ "$sum" -gt 16777216 ]; then printf '\n%s more\n' "$mark"; break; fi
  if [ "$size" -gt 8388608 ]; then printf '\n%s large %s\n' "$mark" "${file##*/}"; continue; fi
  sum=$((sum + size))
  printf '\n%s file %s\n' "$mark" "${file##*/}"; cat "$file"
done
printf '\n%s end\n' "$mark"
