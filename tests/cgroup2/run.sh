#!/usr/bin/env bash
# The sandbox's tests on a machine that has cgroup v2 only: a small QEMU guest with Debian's stock kernel.
# Fetches what is missing through apt: qemu is installed; the kernel and busybox are only unpacked, into a cache folder.
# usage: run.sh [COMMAND …]     another command than the tests (environment: GRADEBOX_CACHE, where the kernel is kept)
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "$(uname -m)" != x86_64 ]; then
    echo "the guest is an x86-64 machine; this is $(uname -m)" >&2
    exit 1
elif ! command -v apt-get >/dev/null; then
    echo "the guest is made of Debian's packages, and here is no apt" >&2
    exit 1
elif [ "$(id -u)" != 0 ]; then
    echo "run as root: the guest sees this machine's files, and some only root may read" >&2
    exit 1
fi

export DEBIAN_FRONTEND=noninteractive
fresh=
refresh() { # package lists, at most once
    [ -n "$fresh" ] || apt-get update -qq
    fresh=1
}

if ! command -v qemu-system-x86_64 >/dev/null; then
    install="apt-get install -y --no-install-recommends qemu-system-x86"
    $install >/dev/null 2>&1 || { refresh; $install; }
fi

cache=${GRADEBOX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gradebox}/cgroup2
mkdir -p "$cache"
if [ ! -e "$cache/complete" ]; then
    # linux-image-amd64 is empty, and depends on the release's newest kernel.
    kernel() { apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p'; }
    fetch() { (cd "$cache" && rm -f ./*.deb && apt-get download -qq "$(kernel)" busybox-static); }
    [ -n "$(kernel)" ] || refresh
    [ -n "$(kernel)" ] || { echo "apt knows no linux-image-amd64: the guest is made of Debian's packages" >&2; exit 1; }
    fetch 2>/dev/null || { refresh; fetch; }
    rm -rf "$cache/kernel" "$cache/busybox"
    mkdir "$cache/kernel"
    dpkg-deb --fsys-tarfile "$cache"/linux-image-*.deb | tar -x -C "$cache/kernel" --wildcards \
        './boot/vmlinuz-*' './lib/modules/*/kernel/fs/*' './lib/modules/*/kernel/net/*' \
        './lib/modules/*/kernel/drivers/virtio/*'
    dpkg-deb -x "$cache"/busybox-static*.deb "$cache/busybox"
    rm "$cache"/*.deb
    touch "$cache/complete"
fi

exec .venv/bin/python tests/cgroup2/guest.py "$cache" "$@"
