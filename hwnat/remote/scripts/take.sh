# Take the device. `known` holds tokens of commands of this host that have ended. `how` is `take`,
# or `look` to take nothing unless there is a lease. `keeper` is the text of keeper.sh.
folder=$1 token=$2 host_name=$3 lease_s=$4 known=$5 how=$6 keeper=$7 step_s=$8
. lease.sh
. away.sh
mkdir -p "$folder" || exit 1
[ "$how" = look ] && [ ! -d "$LEASE" ] && echo free && exit 0
if ! mkdir "$LEASE" 2>/dev/null; then
  [ -d "$LEASE" ] || exit 1
  whose; age
  case " $known " in
    *" ${owner:-none} "*) ;;
    *)
      [ -n "$owner" ] || [ -z "$(find "$LEASE" -maxdepth 0 -mmin -1 2>/dev/null)" ] || old=0 most=1
      [ "$old" -le "$most" ] && echo "held $old $((most - old)) $host" && exit 0;;
  esac
  [ "$how" = look ] && busy && echo busy && exit 0
  claim || { echo "held 0 $lease_s $host"; exit 0; }
  echo left
fi
beat "$lease_s" && own "$token" "$host_name" || exit 1
rm -rf "$LEASE"/next-*
away sh -c "$keeper" keeper "$folder" "$token" "$step_s"
echo taken
