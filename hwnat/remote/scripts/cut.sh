# Cut a file into several files and print their hashes with the program `hash`. Further arguments
# are the path and the size in bytes of each of these files, in order.
whole=$1 hash=$2
shift 2
at=1
while [ "$#" -gt 1 ]; do
  tail -c +"$at" "$whole" | head -c "$2" >"$1.part" && mv -f "$1.part" "$1" && "$hash" "$1"
  at=$((at + $2)); shift 2
done
rm -f "$whole"
