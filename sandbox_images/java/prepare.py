"""Runs in the image when it is built: the archive of shared classes, without which a JVM starts at twice the cost."""

import hashlib
import os
import subprocess
from pathlib import Path

# Two builds are to give the same archive: no hashes that chance gives out, one thread after the other (see main); and
# since a few bytes may still hang on which of them was first, it is written until it comes out as it did before.
# Programs run with the serial collector, which uses no archived objects.
SAME = ("-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2", "-XX:+UseSerialGC", "-Xmx128M", "-Xint")


def main() -> None:
    """Gives the JDK a name without its architecture, and lets it write its archive."""
    (home,) = Path("/usr/lib/jvm").glob("java-17-openjdk-*")
    Path("/usr/lib/jvm/jdk").symlink_to(home.name)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    archive = home / "lib/server/classes.jsa"
    seen: set[bytes] = set()
    while True:
        subprocess.run(["java", *SAME, "-Xshare:dump"], check=True, stdout=subprocess.DEVNULL)
        if not archive.is_file():
            raise SystemExit("the JVM wrote no archive of shared classes")
        digest = hashlib.sha256(archive.read_bytes()).digest()
        if digest in seen:
            break
        seen.add(digest)
    subprocess.run(["java", "-XX:+UseSerialGC", "-Xshare:on", "-version"], check=True)
    subprocess.run(["javac", "-version"], check=True)


main()
