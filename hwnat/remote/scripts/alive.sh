# alive FOLDER: succeeds if the driver of a block is running; sets `p` to its process number.
# Another program may have this number by now, but no other program was started with the block's
# token.
alive() {
  p=; { read -r p <"$1/pid"; } 2>/dev/null
  case $p in ''|*[!0-9]*) return 1;; esac
  grep -q "${1##*-}" "/proc/$p/cmdline" 2>/dev/null
}
