# Print the kind of hash, the size in bytes and the hash of a file.
source=$1
[ -f "$source" ] || exit 45
n=$(wc -c <"$source") && n=$((n)) || exit 1
if command -v sha256sum >/dev/null 2>&1; then h=$(sha256sum <"$source") && echo "sha256 $n ${h%% *}"
elif command -v md5sum >/dev/null 2>&1; then h=$(md5sum <"$source") && echo "md5 $n ${h%% *}"
else exit 43; fi
