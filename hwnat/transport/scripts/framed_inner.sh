# Run a command and print how it ended. The trap lets this shell outlive a command that was asked to
# end, so that one which does not is still killed, and keeps it from printing the mark.
trap 'exit 124' TERM
"$@"; r=$?
printf '\n%s)\n' "$0" >&2; printf '\n%s>%s\n' "$0" "$r"
