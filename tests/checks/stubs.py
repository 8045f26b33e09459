"""Generates the Python stubs of the wire contract, or checks that the checked-in ones are current.

The generator is pinned in pyproject.toml (extra `dev`) to the oldest protobuf that the SDK
supports: stubs run on the protobuf release that made them and on later ones, never on earlier ones.

usage: stubs.py [--check]
"""

import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).resolve().parents[2] / "proto"
PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py")


def generate(out: Path) -> None:
    """Writes the stubs of every .proto file below `out`, which stands for the proto folder."""
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    if not sources:
        raise SystemExit(f"no .proto file under {PROTO}")
    well_known = resources.files("grpc_tools") / "_proto"
    status = protoc.main(
        [
            "protoc",
            f"-I{PROTO}",
            f"-I{well_known}",
            f"--python_out={out}",
            f"--pyi_out={out}",
            f"--grpc_python_out={out}",
            *sources,
        ]
    )
    if status != 0:
        raise SystemExit(f"protoc ended with status {status}")


def stubs(root: Path) -> dict[str, bytes]:
    """Relative path → content of every generated file under `root`."""
    found = (path for pattern in PATTERNS for path in root.rglob(pattern))
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def main() -> int:
    if sys.argv[1:] != ["--check"]:
        generate(PROTO)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh, kept = stubs(Path(folder)), stubs(PROTO)
    stale = sorted(name for name in fresh | kept if fresh.get(name) != kept.get(name))
    for name in stale:
        print(f"proto/{name} is not what its .proto file gives: run `make stubs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
