"""Coverage-guided inputs for the decoder. `python -m tests.fuzz.fuzz_decode [CORPUS] [libFuzzer options]`"""

from tests.fuzz.harness import atheris, run

with atheris.instrument_imports(include=["gradebox_inside", "gradebox_engine"]):
    from tests.fuzz.seeds import encoded_messages, encoded_values
    from tests.fuzz.targets import check_decode


def one(data: bytes) -> None:
    """One input."""
    check_decode(data)


if __name__ == "__main__":
    run("decode", one, encoded_values() + encoded_messages())
