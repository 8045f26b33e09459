#!/usr/bin/env bash
# Installs libnl-route-3-200 (nsjail) and libseccomp2 (pyseccomp) when the machine has not got them, and uidmap, whose
# newuidmap an ordinary user's engine needs: through apt as root, else through sudo when it asks no password, else says
# what to run.
# usage: system_libraries.sh PYTHON [--tests]   (with: also a headless Chromium, for the tests of the live page, and
# mmdebstrap and npm, which images are built with)
set -euo pipefail

missing=$("$1" - <<'PY'
import ctypes
import shutil

for library, package in (
    ("libnl-route-3.so.200", "libnl-route-3-200"),
    ("libseccomp.so.2", "libseccomp2"),
):
    try:
        ctypes.CDLL(library)
    except OSError:
        print(package)
if not all(shutil.which(tool, path="/usr/bin:/usr/sbin:/bin") for tool in ("newuidmap", "newgidmap")):
    print("uidmap")
PY
)
browsers="chromium-headless-shell chromium chromium-browser google-chrome"
if [ "${2:-}" = --tests ]; then
    # shellcheck disable=SC2086  # any of them
    command -v $browsers >/dev/null || missing="$missing chromium-headless-shell fonts-dejavu-core"
    command -v mmdebstrap >/dev/null || missing="$missing mmdebstrap"
    command -v npm >/dev/null || missing="$missing npm"
fi
[ -n "${missing// /}" ] || exit 0

# shellcheck disable=SC2086  # one word a package
set -- $missing
install="apt-get install -y --no-install-recommends $*"
if ! command -v apt-get >/dev/null; then
    echo "gradebox needs these system packages: $* (Debian's names). Install them and run make again." >&2
    exit 1
elif [ "$(id -u)" = 0 ]; then
    as_root=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
else
    echo "gradebox needs these system packages: $*. Run this, then make again:  sudo $install" >&2
    exit 1
fi
# Most machines have package lists already; only if that fails are they fetched.
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" $install >/dev/null 2>&1 && exit 0
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" $install
