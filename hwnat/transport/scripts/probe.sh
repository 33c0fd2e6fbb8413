# Create the working folder, mark it as hwnat's, and print what it allows. A folder that holds files
# but no mark belongs to somebody else; exit with 46. The status 126 means that the kernel refused
# to start a file.
folder=$1 word=$2
. knows_kill.sh
mkdir -p "$folder" || exit 42
if [ ! -f "$folder/.hwnat" ]; then
  [ -z "$(ls -A "$folder")" ] || exit 46
  echo 'hwnat may delete everything in this folder.' >"$folder/.hwnat" || exit 42
fi
f=$folder/.hwnat-$word.part
{ printf '#!/bin/sh\nexit 0\n' >"$f" && chmod 700 "$f"; } || exit 42
"$f" >/dev/null 2>&1; r=$?
rm -f "$f"
echo executable=$r
knows_kill && echo timeout=1
for hash in sha256sum md5sum; do
  command -v $hash >/dev/null 2>&1 && echo $hash=1
done
df -P -k "$folder" 2>/dev/null | tail -n 1 | { read -r _ _ _ free _; echo "free=$free"; }
exit 0
