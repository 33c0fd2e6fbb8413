# say KEY VALUE prints a fact; first KEY FILE says the file's first line; facts_end counts them.
# `echo` of some shells changes what has a backslash, so such a value is left out.
n=0 tab=$(printf '\t') newline='
'
say() {
  case $2 in ''|*\\*|*"$tab"*|*"$newline"*) return 0;; esac
  n=$((n + 1)); echo "$1$tab$2$tab$1$tab$2"
}
first() { v=; { read -r v <"$2"; } 2>/dev/null; say "$1" "$v"; }
facts_end() { echo "end$tab$n${tab}end$tab$n"; }
