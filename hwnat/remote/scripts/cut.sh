# Cut a file into others and print their hashes, by the program `hash`. Further words are the path
# and size in bytes of each, in order.
whole=$1 hash=$2
shift 2
at=1
while [ "$#" -gt 1 ]; do
  tail -c +"$at" "$whole" | head -c "$2" >"$1.part" && mv -f "$1.part" "$1" && "$hash" "$1"
  at=$((at + $2)); shift 2
done
rm -f "$whole"
