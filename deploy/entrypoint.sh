#!/bin/sh
# Takes what a container's runtime withholds and the container's capabilities let it have; then becomes the engine.
# What cannot be had is no error here: the engine says what is missing, and refuses to start below its tier.
set -eu
if [ "$(id -u)" = 0 ]; then
    # Control groups come mounted read-only: the container's own, since it has a namespace of its own for them.
    awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts | while read -r place; do
        mount -o remount,rw,bind "$place" 2>/dev/null || true
    done
    # The runtime covers parts of /proc, and the kernel gives a jail a /proc of its own only where a whole one is seen.
    mount -t proc proc /proc 2>/dev/null || true
fi
exec gradebox serve "$@"
