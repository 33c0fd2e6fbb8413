# Whether `timeout` knows -k, as BusyBox's does since 1.34. Its exit status proves nothing, so what
# it prints is compared.
knows_kill() { [ "$(timeout -k 1 5 sh -c 'echo k' 2>/dev/null </dev/null)" = k ]; }
