# Delete the folders of setups whose visits no store keeps. Their names contain a dash.
jobs=$1
rm -rf "$jobs"/*-*
