#!/bin/sh
# Fetch Mesa's software Vulkan (lavapipe) of Debian's backports with what it needs, without installing.
# usage: fetch_lavapipe.sh FOLDER; afterwards FOLDER/env holds the variables that select it.
# Packages come from the mirror that this machine's apt uses, checked by apt as any other; apt's own
# lists and archives stay in FOLDER.
set -eu
folder=$1
[ -f "$folder/env" ] && exit 0
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
work=$(mktemp -d "$folder/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
. /etc/os-release
site=$(apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT) $(CREATED_BY)' |
    awk -v name="$VERSION_CODENAME" '$2 == name && $3 == "main" && $4 == "Packages" { print $1; exit }')
[ -n "$site" ] || { echo "apt knows no mirror of Debian $VERSION_CODENAME" >&2; exit 1; }
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/root"
for suite in "" -updates -backports; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $VERSION_CODENAME$suite main"
done >"$work/sources.list"
quiet() {
    apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache::Archives="$work/archives" \
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Debug::NoLocking=1 "$@" >/dev/null
}
quiet update
quiet --yes --download-only --no-install-recommends --target-release "$VERSION_CODENAME-backports" \
    install mesa-vulkan-drivers libvulkan1
for package in "$work"/archives/*.deb; do
    dpkg -x "$package" "$work/root"
done
rm -rf "$folder/root"
mv "$work/root" "$folder/root"
libraries=$(dirname "$(find "$folder/root/usr/lib" -name libvulkan_lvp.so)")
driver=$(find "$folder/root/usr/share/vulkan/icd.d" -name 'lvp_icd*.json')
# The driver's own file names its library without a folder; the loader finds that one through the path.
printf 'VK_DRIVER_FILES=%s\nLD_LIBRARY_PATH=%s\n' "$driver" "$libraries" >"$work/env"
mv "$work/env" "$folder/env"
