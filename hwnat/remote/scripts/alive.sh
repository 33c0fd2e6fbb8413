# alive FOLDER: whether the driver of a block runs, as process `p`. The number may be another
# program's by now, but no other program was started with the block's token.
alive() {
  p=; { read -r p <"$1/pid"; } 2>/dev/null
  case $p in ''|*[!0-9]*) return 1;; esac
  grep -q "${1##*-}" "/proc/$p/cmdline" 2>/dev/null
}
