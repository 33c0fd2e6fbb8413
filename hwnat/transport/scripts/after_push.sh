# Rename a file that was sent if its hash is right; exit with 44 otherwise.
target=$1 part=$2 mode=$3 sha256=$4 md5=$5
. same.sh
same "$part" "$sha256" "$md5" || { rm -f "$part"; exit 44; }
[ -d "$target" ] && exit 41
chmod "$mode" "$part" && mv -f "$part" "$target"
