"""Starts one nsjail jail with a warm fork server in it, and asks the fork server for sandboxed processes.

nsjail's part: user (three uids mapped to ids of the host that nobody has), PID, mount, network (none, not even
loopback), IPC, UTS and cgroup namespaces, no_new_privs, a system call policy over everything, a read-only root.
The worker's part: the root's mounts (rootfs), the control group, and the right to kill: a process in the jail is ended
from here, by its pid on the host, which the kernel itself tells us (SCM_CREDENTIALS): no word of the jail's is taken.

The worker is root: of the host, or of a user namespace of its own (rootless). Where it was told to do without a control
group, it looks after the jail's memory and CPU time itself (tree); it never decides that for itself.
"""

import contextlib
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nsjail.config import Exe, IdMap, MountPt, NsJailConfig
from nsjail.enums import LogLevel, RLimitType
from nsjail.runner import resolve_nsjail_path
from nsjail.serializers import to_file

from gradebox_engine.images import INSIDE_FOLDER, Image
from gradebox_engine.jail import cgroup, decoys, ids, rootfs, seccomp
from gradebox_engine.jail.refusals import Refusals
from gradebox_engine.jail.shelf import Shelf
from gradebox_engine.jail.tree import ProcessTree, children
from gradebox_inside import codec, orders
from gradebox_inside.orders import SPAWNED

PROGRAM_UID, ORACLE_UID = 1000, 1001
_STACK_MIB = 64
_ANSWER_BYTES = 1 << 16
_START_TIMEOUT_S = 30.0
_ANSWER_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 5.0
_LONGEST_CPU_TIME_S = 1e9
_UCRED = struct.Struct("3i")

PROTECTIONS = (
    "user-namespace", "pid-namespace", "mount-namespace", "network-namespace", "ipc-namespace", "uts-namespace",
    "no-new-privs", "jail-seccomp", "program-seccomp", "uid-separation", "no-capabilities", "read-only-root",
    "private-scratch", "rlimits", "sealed-judge",
)  # fmt: skip


def _place() -> Path:
    """The folder for working folders: a jail's root, who is nobody on the host, has to pass through it.

    Some users' own folder for temporary files is closed to all others.
    """
    for name in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        place = Path(name).resolve()
        if all(folder.is_dir() and folder.stat().st_mode & stat.S_IXOTH for folder in (place, *place.parents)):
            return place
    return Path(tempfile.gettempdir())


def sweep_folders() -> None:
    """Removes the working folders of workers that were killed: their mounts went with them, so these are empty."""
    for folder in _place().glob("gradebox-jail-*-*"):
        pid = folder.name.split("-")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _start_code(image: Image) -> str:
    """Starts the fork server. No folder that a program can write, and none of ours, stays on the search path."""
    return (
        f"import sys; sys.path.insert(0, {str(Path(INSIDE_FOLDER).parent)!r}); "
        f"from gradebox_inside import forkserver; sys.path[:1] = []; sys.path += {[*image.search_path]!r}; "
        "forkserver.main()"
    )


class JailDied(RuntimeError):
    """The jail or its fork server is gone or does not answer: the engine's fault, never the program's."""


@dataclass(frozen=True)
class Exited:
    """How a process ended: wait status, CPU time and peak memory, as its parent (the fork server) was told."""

    status: int
    cpu_time_s: float
    memory_bytes: int


def nsjail_config(image: Image, root: Path, first_id: int) -> NsJailConfig:
    """What nsjail is told: namespaces, ids, limits, mounts, system call policy, the fork server's command."""
    mapped = [IdMap(str(uid), str(first_id + at)) for at, uid in enumerate((0, PROGRAM_UID, ORACLE_UID))]
    hard = RLimitType.HARD  # the sandbox sets every program's own limits
    return NsJailConfig(
        hostname="gradebox",
        cwd="/",
        time_limit=0,
        nice_level=0,
        keep_caps=True,  # in the jail's user namespace only: the fork server makes namespaces and mounts
        uidmap=mapped,
        gidmap=mapped,
        envar=[f"{name}={value}" for name, value in image.environment.items()],
        rlimit_as_type=hard,
        rlimit_cpu_type=hard,
        rlimit_fsize_type=hard,
        rlimit_nofile=1024,
        rlimit_nproc_type=hard,
        rlimit_stack=_STACK_MIB,
        rlimit_stack_type=RLimitType.VALUE,
        rlimit_memlock=0,
        rlimit_memlock_type=RLimitType.VALUE,
        rlimit_msgqueue=0,
        rlimit_msgqueue_type=RLimitType.VALUE,
        iface_no_lo=True,
        mount=[
            MountPt(src=str(root), dst="/", is_bind=True),
            MountPt(src="/proc", dst="/proc", fstype="proc", rw=True),  # nested ones need a whole one beneath
        ],
        seccomp_string=[seccomp.jail_policy()],
        log_level=LogLevel.ERROR,
        exec_bin=Exe(path=image.interpreter, arg=["-s", "-B", "-P", "-c", _start_code(image)]),
    )


class Jail:
    """One warm jail. `start` before use; `close` ends everything in it. Not thread-safe.

    with_cgroup: False is for the tier `rootless`, and for nothing else.
    """

    def __init__(self, image: Image, index: int, *, with_cgroup: bool = True) -> None:
        self.image = image
        self._index = index
        self._first_id = ids.of_jail(index)
        self._with_cgroup = with_cgroup
        self._group: cgroup.Cgroup | ProcessTree | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self.refusals: Refusals | None = None
        self._decoys: decoys.Watch | None = None
        self._folder = tempfile.TemporaryDirectory(prefix=f"gradebox-jail-{os.getpid()}-", dir=_place())
        self._log = tempfile.TemporaryFile()
        self._killed: list[int] = []
        self.shelf: Shelf | None = None  # where a compiled program stands
        self.base_memory_bytes = 0

    @property
    def protections(self) -> tuple[str, ...]:
        """The protections that are active on this machine."""
        return PROTECTIONS + ((self._group.name,) if self._group else ())

    def start(self) -> None:
        """Starts nsjail and waits for the fork server. Raises JailDied with nsjail's own words, or CgroupError."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self._group = group = cgroup.Cgroup(self._index) if self._with_cgroup else ProcessTree()
        root = Path(self._folder.name) / "root"
        root.mkdir(mode=0o755)
        if self.image.commands:
            self.shelf = Shelf(Path(self._folder.name) / "program")
        rootfs.build(self.image, root, self.shelf.folder if self.shelf else None)
        self._decoys = decoys.Watch(root)
        os.chmod(self._folder.name, 0o755)
        config_file = Path(self._folder.name) / "nsjail.cfg"
        to_file(self._config(root), config_file)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_START_TIMEOUT_S)

        def prepare() -> None:  # between fork and exec
            if isinstance(group, cgroup.Cgroup):  # the jail never runs outside its group
                group.add(os.getpid())
            with contextlib.suppress(PermissionError):  # takes CAP_SYS_RESOURCE; programs stand at +1000 in any case
                Path("/proc/self/oom_score_adj").write_text("-1000")

        self._process = subprocess.Popen(
            [str(resolve_nsjail_path(None)), "--config", str(config_file)],
            stdin=theirs.fileno(),
            stdout=self._log,
            stderr=self._log,
            preexec_fn=prepare,
        )
        theirs.close()
        self._control = ours
        listeners: list[int] = []
        image = self.image
        filters = seccomp.common_filter(image.system_calls, image.refused_calls), seccomp.program_filter()
        try:
            self._ask(("config", *filters, list(self.image.warm_modules)), received=listeners)
        finally:
            if listeners:
                self.refusals = Refusals(listeners[0])
        if self.refusals is None:
            raise JailDied("the fork server sent no listener of refused system calls")
        ours.settimeout(_ANSWER_TIMEOUT_S)
        if isinstance(group, ProcessTree):
            group.follow(self._process.pid)
        self.base_memory_bytes = group.memory_bytes()

    def _config(self, root: Path) -> NsJailConfig:
        return nsjail_config(self.image, root, self._first_id)

    def _ask(self, request: tuple[Any, ...], received: list[int] | None = None) -> tuple[Any, ...]:
        """The answer to a request. Raises JailDied."""
        self._send(request)
        return self._read(self._receive(received))

    def _send(self, request: tuple[Any, ...], descriptors: tuple[int, ...] = ()) -> None:
        assert self._control is not None
        try:
            socket.send_fds(self._control, [orders.pack(request)], descriptors)
        except OSError as error:
            raise self._silent(error) from error

    def _receive(self, received: list[int] | None = None) -> bytes:
        """What comes back. `received` takes a descriptor that comes with it; others are never taken."""
        assert self._control is not None
        try:
            if received is None:
                return self._control.recv(_ANSWER_BYTES)
            data, got, _, _ = socket.recv_fds(self._control, _ANSWER_BYTES, 1)
            received += got
            return data
        except OSError as error:
            raise self._silent(error) from error

    def _silent(self, error: Exception) -> JailDied:
        return JailDied(f"the jail does not answer: {error!r}; {self._last_words()}")

    def _read(self, data: bytes) -> tuple[Any, ...]:
        try:
            answer = codec.decode(data) if data else ()
        except (codec.CodecError, codec.OverBudget) as error:
            raise self._silent(error) from error
        if type(answer) is not tuple or not answer:
            raise JailDied(f"the jail ended; {self._last_words()}")
        if answer[0] == "error":
            (text,) = _checked(answer, "error", str)
            raise JailDied(f"the fork server failed: {text[:1000]}")
        return answer

    def _last_words(self) -> str:
        end = self._log.seek(0, os.SEEK_END)  # the jail may have written any amount
        self._log.seek(max(0, end - 4000))
        lines = [
            line
            for line in self._log.read(4000).decode(errors="replace").splitlines()
            if "no version information" not in line
        ]
        return "nsjail said: " + (" | ".join(lines[-4:]) or "nothing")

    def limit(self, memory_bytes: int, tasks: int) -> None:
        """Sets what the programs of the next submission may use together, on top of the fork server's own."""
        assert self._group is not None
        try:
            self._set_limits(memory_bytes, tasks)
        except OSError as error:
            raise JailDied(f"the limits cannot be set: {error}") from error

    def _set_limits(self, memory_bytes: int, tasks: int) -> None:
        assert self._group is not None
        self._group.set_memory(self.base_memory_bytes + memory_bytes)
        self._group.set_tasks(tasks + 2)  # nsjail and the fork server

    def oom_kills(self) -> int:
        """How many processes the OOM killer has taken in this jail so far."""
        assert self._group is not None
        return self._group.oom_kills()

    def decoys_opened(self) -> bool:
        """Whether something in this jail opened a decoy since the last time that this was asked."""
        assert self._decoys is not None
        return self._decoys.opened()

    def cpu_time_s(self) -> float:
        """CPU time of everything that ever ran in this jail."""
        assert self._group is not None
        return self._group.cpu_time_s()

    def identify(self, pid: int) -> int:
        """A descriptor (pidfd) of a process of this jail, by its pid here. Raises JailDied for any other.

        A fork server that was taken over may end a process and let its number go to a stranger's: the descriptor
        stays with the process that was looked at.
        """
        try:
            pidfd = os.pidfd_open(pid)
            try:
                uid = os.stat(f"/proc/{pid}").st_uid
                signal.pidfd_send_signal(pidfd, 0)  # still the same one
                if not self._first_id <= uid < self._first_id + ids.IDS_PER_JAIL:
                    raise JailDied("a new process is none of the jail's")
            except BaseException:
                os.close(pidfd)
                raise
        except OSError as error:
            raise JailDied("a new process is gone") from error
        return pidfd

    def spawn(self, spec: dict[str, Any], descriptors: tuple[int, ...]) -> None:
        """Asks for a sandboxed process; `spawned` must follow, before any other request. Raises JailDied.

        descriptors: channel, stdin, stdout, stderr, bell and perhaps a peer.
        """
        if isinstance(self._group, ProcessTree):
            reserves = spec["reserves_memory"]
            spec = {**spec, "rlimits": self._group.rlimits(spec["memory_bytes"], reserves_memory=reserves)}
        self._send(("spawn", spec, self._killed), descriptors)
        self._killed = []

    def spawned(self) -> int:
        """The pid in the jail of the process that was asked for. Raises JailDied."""
        data = self._receive()
        if len(data) != SPAWNED.size or data[:1] != b"+":
            self._read(data)
            raise JailDied("the fork server answers what it was not asked")
        return int(SPAWNED.unpack(data)[1])

    def reap_later(self, pid: int) -> None:
        """A process that was killed: it is reaped with the next request, before anything new is spawned."""
        self._killed.append(pid)

    def reap(self, pid: int) -> Exited:
        """Waits for a process that is dead or was killed. Raises JailDied."""
        answer = self._ask(("reap", pid))
        _, status, cpu_time_s, memory_bytes = _checked(answer, "exited", int, int, float, int)
        ended = 0 <= status <= 0xFFFF and (os.WIFEXITED(status) or os.WIFSIGNALED(status))
        if not (ended and 0 <= cpu_time_s < _LONGEST_CPU_TIME_S and 0 <= memory_bytes < 1 << 62):
            raise JailDied("the fork server tells of a process what cannot be")
        return Exited(status, cpu_time_s, memory_bytes)

    def _end(self, nsjail: "subprocess.Popen[bytes]") -> None:
        """Kills the fork server, and with it everything in its PID namespace; nsjail reaps it, and ends.

        Killed first, nsjail would leave it to the machine's process 1, which in many a container reaps nothing.
        """
        for pid in children(nsjail.pid):
            with contextlib.suppress(JailDied, OSError, subprocess.TimeoutExpired):
                pidfd = self.identify(pid)
                try:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                finally:
                    os.close(pidfd)
                nsjail.wait(_END_TIMEOUT_S)
        nsjail.kill()
        nsjail.wait()

    def close(self) -> None:
        """Ends the jail and everything in it, and removes its folders and groups."""
        if self._control is not None:
            self._control.close()
        for watch in (self.refusals, self._decoys):
            if watch is not None:
                watch.close()
        self.refusals = self._decoys = None
        if self._process is not None:
            self._end(self._process)
        if self._group is not None:
            self._group.remove()
        self._log.close()
        root = Path(self._folder.name) / "root"
        if os.path.ismount(root):
            rootfs.remove(root)
        if self.shelf is not None:
            self.shelf.close()
        self._folder.cleanup()


def _checked(answer: tuple[Any, ...], tag: str, *kinds: type) -> tuple[Any, ...]:
    """An answer's parts. Raises JailDied for another answer: the fork server is not what was started."""
    if answer[0] != tag or tuple(map(type, answer[1:])) != kinds:
        raise JailDied("the fork server answers what it was not asked")
    return answer[1:]


def credentials_of(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The sender's pid on this side, as the kernel attached it to a message. Raises JailDied when it did not."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return int(_UCRED.unpack(data[: _UCRED.size])[0])
    raise JailDied("the kernel attached no credentials to the hello")
