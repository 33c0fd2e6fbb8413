# Change settings, but not while a block of an earlier command is running.
folder=$1 token=$2 fixed=$3 saver_off=$4 screen_off=$5 governor=$6
. lease.sh
require_owner
busy && echo busy && exit 0
. ../../device/scripts/prepare.sh
