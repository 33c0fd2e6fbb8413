# Write stdin into a file.
target=$1
cat >"$target"
