# Run a command and print its exit status. If `timeout` asks the command to end, the trap keeps this
# shell alive, so that a command that does not end is still killed, and the mark is not printed.
trap 'exit 124' TERM
"$@"; r=$?
printf '\n%s)\n' "$0" >&2; printf '\n%s>%s\n' "$0" "$r"
