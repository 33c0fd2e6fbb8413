# Record a call from this host.
folder=$1 token=$2 lease_s=$3
. lease.sh
require_owner
beat "$lease_s" || exit 1
echo renewed
