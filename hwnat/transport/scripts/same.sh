# same FILE SHA256 MD5: succeeds if the hash that this device can compute matches.
same() {
  if command -v sha256sum >/dev/null 2>&1; then h=$(sha256sum <"$1") && [ "${h%% *}" = "$2" ]
  elif command -v md5sum >/dev/null 2>&1; then h=$(md5sum <"$1") && [ "${h%% *}" = "$3" ]
  else exit 43; fi
}
