"""An ordinary user's worker: root of a user namespace of its own, and of nothing else.

Theory of operation. `enter` gives the calling process a user namespace with four ids in it and no more:

    in the namespace   on the host
    0                  the user: the worker, which reads the user's interpreter and checkout and makes the mounts
    1, 2, 3            three subordinate ids of the user's (/etc/subuid, /etc/subgid): the jail's root, its programs,
                       its oracles

Only root of the host may write such a map, so newuidmap and newgidmap (package uidmap, setuid root) write it, called by
a helper that stays outside. From then on the worker does what it does as root of the host: it builds the jail's tree
in a mount namespace of its own, and nsjail makes a second user namespace, in which ids 1 to 3 are all that there is.

What that gives and what not. No process in a jail has the user's id on the host: files that only the user may read or
write, the user's other processes and the worker itself are out of reach, as they are for a stranger on the machine. The
worker holds no right on the host that its user has not, and drops the user's supplementary groups (docker, sudo …). The
setuid helpers run before there is any program. The three ids are nobody's: a range that another user's overlaps, or one
that holds an account, is refused; workers of one user take different ids (`ids.claim`). What the user's own containers
(podman) map to the same ids stays apart by its namespaces, as jails do from one another. With one id alone, programs
would be the worker's equals, so there is no such mode: what is missing is an error that says how to mend it.
"""

import grp
import itertools
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from gradebox_engine.jail import ids

FIRST_ID = 1  # of the jail's, in the worker's namespace
_TRIAL_TIMEOUT_S = 20.0
_FILES = ("/etc/subuid", "/etc/subgid")


class RootlessError(RuntimeError):
    """No jail can be made for this user; the text, of one line, ends with the command that mends it."""


def _tool(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/bin:/usr/sbin:/bin")
    if path is None:
        raise RootlessError(f"{name} is not installed; as root: apt-get install uidmap")
    return path


def _commands(pid: int) -> list[list[str]]:
    """What the helper runs to map this process's ids. Raises RootlessError."""
    tools = _tool("newuidmap"), _tool("newgidmap")
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise RootlessError(
            f"uid {os.getuid()} has no account here; as root: useradd --uid {os.getuid()} NAME"
        ) from None
    everyone = [ids.parse(Path(file).read_text() if Path(file).exists() else "") for file in _FILES]
    taken = [[entry.pw_uid for entry in pwd.getpwall()], [entry.gr_gid for entry in grp.getgrall()]]
    found = []
    try:
        for file, ranges, accounts in zip(_FILES, everyone, taken, strict=True):
            found.append(ids.own_range(file, ranges, (name, str(os.getuid())), accounts))
        slot = ids.claim(min(map(ids.slots, found)))
    except ids.NoIds as error:
        free = ids.free(itertools.chain(*everyone))
        raise RootlessError(f"{error}; as root: usermod --add-subuids {free} --add-subgids {free} {name}") from None
    return [
        [tool, str(pid), "0", str(own), "1", str(FIRST_ID), str(ids.first_of(have, slot)), str(ids.IDS_PER_JAIL)]
        for tool, own, have in zip(tools, (os.getuid(), os.getgid()), found, strict=True)
    ]


def _map_from_outside(commands: list[list[str]], go_fd: int, said_fd: int) -> None:
    """The helper: waits for the namespace, maps its ids, says what went wrong, if anything did; ends."""
    status = 1
    try:
        if os.read(go_fd, 1):
            for command in commands:
                done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
                if done.returncode:
                    os.write(said_fd, (done.stderr.strip() or f"status {done.returncode}").encode()[:500])
                    break
            else:
                status = 0
    except BaseException as error:
        os.write(said_fd, repr(error).encode()[:500])
    finally:
        os._exit(status)


def enter() -> None:
    """Makes this process, which must have one thread, root of a user namespace of its own. Raises RootlessError."""
    commands = _commands(os.getpid())
    go_read, go_write = os.pipe()
    said_read, said_write = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(go_write)
        _map_from_outside(commands, go_read, said_write)
    os.close(go_read)
    os.close(said_write)
    refused = None
    try:
        os.unshare(os.CLONE_NEWUSER)
        os.write(go_write, b"1")
    except OSError as error:
        refused = error
    finally:
        os.close(go_write)  # without the byte before it, the helper just ends
    _, status = os.waitpid(helper, 0)
    with os.fdopen(said_read) as file:
        said = " ".join(file.read().split())
    if refused is not None:
        raise RootlessError(
            f"no new user namespace: {refused.strerror}; as root: sysctl -w user.max_user_namespaces=10000 (and "
            "kernel.unprivileged_userns_clone=1, where there is one)"
        )
    if status:
        raise RootlessError(f"the ids cannot be mapped: {said}; {_why_not_mapped()}")
    if os.getuid() != 0:
        raise RootlessError("the ids were mapped, and the user is not root of the new namespace")
    os.setgroups([])


def _why_not_mapped() -> str:
    status = Path("/proc/self/status").read_text()
    if "NoNewPrivs:\t1" in status:
        return "start the engine without no_new_privs, under which newuidmap cannot work"
    return "as root: apt-get install --reinstall uidmap"


def try_out() -> None:
    """Makes the namespaces of a worker in a child process, and ends it. Raises RootlessError saying what is missing."""
    _commands(os.getpid())  # what is said best here, before a process is started
    ids.give_back()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gradebox_engine.jail.rootless"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TRIAL_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RootlessError((done.stderr.strip().splitlines() or [f"the trial ended with {done.returncode}"])[-1])


def _trial() -> int:
    from gradebox_engine.jail import rootfs

    try:
        enter()
        rootfs.enter_private_mounts()
    except RootlessError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"no mounts in the new user namespace: {error.strerror}; as root: "
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 user.max_mnt_namespaces=10000; "
            "in docker: --privileged",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_trial())
