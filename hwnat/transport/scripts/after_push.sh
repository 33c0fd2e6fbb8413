# Give a file its name if it arrived whole (else exit 44).
target=$1 part=$2 mode=$3 sha256=$4 md5=$5
. same.sh
same "$part" "$sha256" "$md5" || { rm -f "$part"; exit 44; }
[ -d "$target" ] && exit 41
chmod "$mode" "$part" && mv -f "$part" "$target"
