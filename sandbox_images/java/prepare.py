"""Runs in the image when it is built: the archive of shared classes, without which a JVM starts at twice the cost."""

import subprocess
from pathlib import Path


def main() -> None:
    """Gives the JDK a name without its architecture, and lets it write its archive."""
    (home,) = Path("/usr/lib/jvm").glob("java-17-openjdk-*")
    Path("/usr/lib/jvm/jdk").symlink_to(home.name)
    subprocess.run(["java", "-Xshare:dump"], check=True, stdout=subprocess.DEVNULL)
    if not (home / "lib/server/classes.jsa").is_file():
        raise SystemExit("the JVM wrote no archive of shared classes")
    subprocess.run(["java", "-Xshare:on", "-version"], check=True)
    subprocess.run(["javac", "-version"], check=True)


main()
