#!/bin/sh
# The guest's first process, in the initramfs: puts the host's files together with a layer that is forgotten, and goes
# there. Modules stand in /modules in the order in which they load; /checkout.tar is the checkout as it was at the start.
export PATH=/bin
busybox mkdir -p /proc /sys /dev /lower /layer /root /tmp
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1

echo "guest: up"

fail() {
    echo "guest: $*"
    busybox poweroff -f
}

for module in /modules/*; do
    busybox insmod "$module" || fail "cannot load $module"
done
options=trans=virtio,version=9p2000.L,msize=512000
busybox mount -t 9p -o "$options,ro,cache=loose" host /lower || fail "cannot see the host's files"
busybox mount -t tmpfs -o size=60% tmpfs /layer || fail "no tmpfs"
busybox mkdir /layer/upper /layer/work
busybox mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work overlay /root ||
    fail "no overlay"
for folder in proc sys dev tmp run; do
    busybox mkdir -p "/root/$folder"
done
busybox tar -x -f /checkout.tar -C /root || fail "the checkout is not whole"
busybox mount -t 9p -o "$options,rw,cache=none" results /root/mnt || fail "nowhere to leave the results"
busybox mount --move /dev /root/dev
busybox mount --move /proc /root/proc
busybox cat /script >/root/run/inside.sh
busybox cp /bin/busybox /root/run/busybox
exec busybox switch_root /root /bin/bash /run/inside.sh
