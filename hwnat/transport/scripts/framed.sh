# Run a command with a time limit and print marks around its output. $0 is the token of the call.
limit_s=$1 reads=$2 inner=$3
. knows_kill.sh
shift 3
[ "$reads" = yes ] || exec </dev/null
printf '%s(\n' "$0" >&2; printf '%s<\n' "$0"
how=unlimited
if command -v timeout >/dev/null 2>&1; then
  how=ended
  timeout -k 2 "$limit_s" sh -c "$inner" "$0" "$@" || knows_kill || how=unlimited
fi
printf '\n%s!%s\n' "$0" "$how"
