# Exit with 40 if the device has the file already; create its folder otherwise. Parts that an
# interrupted push left over an hour ago are deleted.
target=$1 folder=$2 mode=$3 sha256=$4 md5=$5
. same.sh
[ -d "$target" ] && exit 41
[ -f "$target" ] && same "$target" "$sha256" "$md5" && chmod "$mode" "$target" && exit 40
mkdir -p "$folder" || exit 42
find "$folder" -maxdepth 1 -type f -name '.hwnat-*.part' -mmin +60 -exec rm -f {} + 2>/dev/null
exit 0
