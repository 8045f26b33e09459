"""Coverage-guided inputs for the judge: messages of a program's process.

`python -m tests.fuzz.fuzz_judge [CORPUS] [libFuzzer options]`
"""

from tests.fuzz.harness import atheris, run

with atheris.instrument_imports(include=["gradebox_inside", "gradebox_engine"]):
    from tests.fuzz.seeds import encoded_messages, encoded_values
    from tests.fuzz.targets import check_message


def one(data: bytes) -> None:
    """One input."""
    check_message(data)


if __name__ == "__main__":
    run("judge", one, encoded_values() + encoded_messages())
