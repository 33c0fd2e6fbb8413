# Remove the folders of setups whose visits no store keeps; they have a dash in their names.
jobs=$1
rm -rf "$jobs"/*-*
