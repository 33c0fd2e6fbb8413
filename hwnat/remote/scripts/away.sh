# away COMMAND…: start a process that outlives the link.
away() {
  if command -v setsid >/dev/null 2>&1; then setsid "$@" </dev/null >/dev/null 2>&1 &
  else nohup "$@" </dev/null >/dev/null 2>&1 & fi
}
