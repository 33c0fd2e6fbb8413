# Check whether `timeout` supports -k, as that of BusyBox does since 1.34. Its exit status proves
# nothing, so its output is compared.
knows_kill() { [ "$(timeout -k 1 5 sh -c 'echo k' 2>/dev/null </dev/null)" = k ]; }
