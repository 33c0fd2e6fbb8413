# Write what is sent into a file.
target=$1
cat >"$target"
