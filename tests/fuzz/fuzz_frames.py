"""Coverage-guided inputs for the reader of frames. `python -m tests.fuzz.fuzz_frames [CORPUS] [libFuzzer options]`"""

from tests.fuzz.harness import atheris, run

with atheris.instrument_imports(include=["gradebox_inside", "gradebox_engine"]):
    from tests.fuzz.seeds import stream
    from tests.fuzz.targets import check_frames


def one(data: bytes) -> None:
    """One input."""
    check_frames(data[1:], data[:1])


if __name__ == "__main__":
    run("frames", one, [bytes([n]) + stream()[:4000] for n in (1, 7, 255)])
