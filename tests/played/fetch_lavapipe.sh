#!/bin/sh
# Fetch Mesa's software Vulkan (lavapipe) with what this machine lacks for it, without installing.
# usage: fetch_lavapipe.sh FOLDER; afterwards FOLDER/env holds the variables that select it.
# Packages come from the mirror that this machine's apt uses and are checked as any other; only FOLDER
# is written. Debian 12's own is too old for WebGPU, the one of its backports is not.
set -eu
folder=$1
[ -f "$folder/env" ] && exit 0
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
work=$(mktemp -d "$folder/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/root"
apt() {
    apt-get -qq -o APT::Sandbox::User=root -o Dir::State::Lists="$work/lists" -o Debug::NoLocking=1 \
        -o Dir::Cache::Archives="$work/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= "$@"
}
. /etc/os-release
# Some other source may be out of reach.
apt update >/dev/null 2>&1 || true
site=$(apt indextargets --format '$(SITE) $(CODENAME) $(COMPONENT) $(CREATED_BY)' |
    awk -v name="$VERSION_CODENAME" '$2 == name && $3 == "main" && $4 == "Packages" { print $1; exit }')
[ -n "$site" ] || { echo "apt reaches no mirror of Debian $VERSION_CODENAME" >&2; exit 1; }
release=$VERSION_CODENAME
[ "$release" = bookworm ] && release=bookworm-backports
for suite in "$VERSION_CODENAME" "$VERSION_CODENAME-updates" "$release"; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $suite main"
done | sort -u >"$work/sources.list"
own() {
    apt -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null "$@" >/dev/null
}
own update
own --yes --download-only --reinstall --no-install-recommends --target-release "$release" \
    install mesa-vulkan-drivers libvulkan1
for package in "$work"/archives/*.deb; do
    dpkg -x "$package" "$work/root"
done
rm -rf "$folder/root"
mv "$work/root" "$folder/root"
libraries=$(dirname "$(find "$folder/root/usr/lib" -name libvulkan_lvp.so)")
driver=$(find "$folder/root/usr/share/vulkan/icd.d" -name 'lvp_icd*.json')
printf 'VK_DRIVER_FILES=%s\nLD_LIBRARY_PATH=%s\n' "$driver" "$libraries" >"$work/env"
mv "$work/env" "$folder/env"
