#!/usr/bin/env bash
# Fetch what plays a device with another processor: an emulator, an arm64 system, LiteRT for it.
# All of it comes from where this machine gets its Debian and Python packages, and goes into a
# folder of the user's cache; what is there is not fetched again, what cannot be had is skipped.
set -uo pipefail

cache="${HOME:-/root}/.cache/hwnat-ci"
arm64="$cache/arm64-1"
litert="$cache/litert-2.3.0-arm64"
# Android's shell and tools, what it has beyond Debian's toybox, and what C and C++ programs load.
system=(busybox libc6 libcrypt1 libgcc-s1 libstdc++6 mksh openssh-sftp-server toybox)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() { echo "$1 is not available; tests that need it are skipped" >&2; }

# Run an apt program on sources and lists of its own. $1 is the architecture.
isolated() {
    local arch=$1 tool=$2 state="$work/$1"
    shift 2
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    : >"$state/status"
    "$tool" -qq -o APT::Architecture="$arch" -o APT::Architectures::="$arch" \
        -o APT::Sandbox::User=root -o Dir::State::Lists="$state/lists" \
        -o Dir::State::status="$state/status" -o Dir::Cache::archives="$state/archives" \
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- "$@"
}

# Fetch packages and unpack them. $1 is the architecture, $2 a suite, $3 a folder.
unpack() {
    local arch=$1 suite=$2 to=$3
    shift 3
    mkdir -p "$work/debs-$arch"
    isolated "$arch" apt-get update && (cd "$work/debs-$arch" &&
        isolated "$arch" apt-get -o APT::Default-Release="$suite" download "$@") || return 1
    for each in "$work/debs-$arch"/*.deb; do dpkg -x "$each" "$to" || return 1; done
}

fetch_emulator() {
    unpack "$(dpkg --print-architecture)" "$suite-backports" "$work/qemu" qemu-user &&
        # It makes up this file by its name; the device has one of its own.
        LC_ALL=C sed -i 's#/proc/cpuinfo\x00#/proc/cpuinf-\x00#' "$work/qemu/usr/bin/qemu-aarch64" &&
        mkdir -p "$arm64" && mv "$work/qemu/usr/bin/qemu-aarch64" "$arm64/qemu-aarch64"
}

fetch_system() {
    local root="$work/root"
    unpack arm64 "$suite" "$root" "${system[@]}" || return 1
    mkdir -p "$root/usr/bin"
    for each in bin lib; do
        cp -a "$root/$each/." "$root/usr/$each/" && rm -rf "${root:?}/$each" || return 1
    done
    rm -rf "${root:?}/usr/share" "${root:?}/usr/lib/aarch64-linux-gnu/gconv"
    ln -s usr/lib "$root/lib"
    "$arm64/qemu-aarch64" -L "$root" "$root/usr/bin/toybox" >"$root/toybox" &&
        "$arm64/qemu-aarch64" -L "$root" "$root/usr/bin/busybox" --list >"$root/busybox" &&
        mv "$root" "$arm64/root"
}

fetch_litert() {
    local wheel="$work/wheel" platforms=()
    for each in 2_17 2_27 2_28 2_34 2_35; do platforms+=(--platform "manylinux_${each}_aarch64"); done
    "${PYTHON:-python3}" -m pip download -qq --disable-pip-version-check --no-deps -d "$wheel" \
        --only-binary=:all: "${platforms[@]}" --python-version 3.11 --implementation cp \
        --abi cp311 ai-edge-litert==2.3.0 &&
        "${PYTHON:-python3}" -m zipfile -e "$wheel"/*.whl "$wheel" &&
        mkdir -p "$litert.new" && cp "$wheel/ai_edge_litert/libLiteRt.so" "$litert.new/" &&
        mv "$litert.new" "$litert"
}

suite=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 2>/dev/null |
    awk -v suite="$suite" '$2 == suite && $3 == "main" { print $1; exit }')
key=/usr/share/keyrings/debian-archive-keyring.gpg
for each in "$suite" "$suite-backports"; do
    echo "deb [signed-by=$key] $mirror $each main" >>"$work/sources.list"
done

[ -x "$arm64/qemu-aarch64" ] || fetch_emulator >"$work/log" 2>&1 || skip "qemu-user 10"
[ -d "$arm64/root" ] || fetch_system >"$work/log" 2>&1 || skip "Debian for arm64"
[ -d "$litert" ] || fetch_litert >"$work/log" 2>&1 || skip "LiteRT for arm64"
exit 0
