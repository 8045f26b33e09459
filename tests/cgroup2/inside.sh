# The guest's process 1: mounts what a machine has, cgroup2 and nothing of v1, then runs the tests in each of the places
# in the tree where an engine may find itself. There is no systemd: the groups have its names and shape.
# CHECKOUT and COMMAND stand before these lines; EMULATED comes from the kernel's command line.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 CI=1 NO_COLOR=1
mount -t sysfs sys /sys
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o size=1g,mode=1777 tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sf /proc/self/fd /dev/fd
/run/busybox ifconfig lo up
ulimit -n 4096
cd "$CHECKOUT"
tree=/sys/fs/cgroup
status=0

# step TEXT COMMAND…: one part of the run; what fails is remembered.
step() {
    echo "guest: $1"
    shift
    "$@" || { status=1; echo "guest: FAILED: $*"; }
}

# at GROUP COMMAND…: runs it in a new group.
at() {
    local group=$tree/$1
    shift
    mkdir -p "$group"
    bash -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' at "$group" "$@"
}

tests() { .venv/bin/python -m pytest --color=no -q -rfEs --tb=short --durations=5 -p no:cacheprovider "$@"; }

if [ -n "$COMMAND" ]; then
    eval "$COMMAND"
    status=$?
else
    echo "guest: $(uname -sr); control groups: $(grep -o ' cgroup2\? ' /proc/mounts | xargs)"
    # Without KVM a second takes about eight: the parts that the kernel and the tree decide most.
    sandbox=tests/sandbox more=tests/attacks
    if [ -n "${EMULATED:-}" ]; then
        sandbox="tests/sandbox/test_protections.py tests/sandbox/test_limits.py tests/sandbox/test_layers.py" more=
    fi
    step "in the root group" tests tests/cgroup2/test_places.py

    # As systemd leaves it: controllers handed on to slices, services in them, none of them handing anything on.
    mkdir $tree/system.slice
    for group in $tree $tree/system.slice; do
        echo "+memory +pids" >$group/cgroup.subtree_control
    done
    at system.slice/other.service sleep 36000 &
    export -f tests
    step "what doctor finds in a service" at system.slice/a.service .venv/bin/gradebox doctor
    step "in a service" at system.slice/b.service bash -c "tests tests/cgroup2 $sandbox"
    step "an engine in a service" at system.slice/c.service bash -c \
        "tests tests/e2e/test_client.py tests/e2e/test_jail_faults.py $more"

    # As docker does it: a group of its own that its cgroup namespace shows as the root.
    step "in a container" at box unshare --cgroup --mount bash -c \
        'umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && cat /proc/self/cgroup &&
         .venv/bin/gradebox doctor && tests tests/cgroup2 tests/sandbox/test_protections.py'
fi
echo "$status" >/mnt/status
/run/busybox poweroff -f
