"""What a program's source says of it before its first line runs."""

import textwrap

import pytest

from gradebox_inside.loader import load, swallows_exceptions

TRY = "try:\n    f()\n"


@pytest.mark.parametrize(
    ("handler", "swallows"),
    [
        ("except:\n    pass", True),
        ("except :\n    x = 1", True),
        ("except BaseException:\n    pass", True),
        ("except BaseException as e:\n    print(e)", True),
        ("except (ValueError, SystemExit):\n    pass", True),
        ("except AssertionError:\n    pass", True),
        ("except ValueError:\n    pass\nexcept:\n    pass", True),
        ("except:\n    raise", False),
        ("except BaseException as e:\n    raise ValueError from e", False),
        ("except:\n    if x:\n        raise", False),
        ("except Exception:\n    pass", False),
        ("except (ValueError, TypeError):\n    pass", False),
        ("except errors.BaseException:\n    pass", False),
        ("finally:\n    pass", False),
    ],
)
def test_handlers(handler: str, swallows: bool) -> None:
    assert swallows_exceptions(TRY + handler) is swallows
    assert swallows_exceptions("class A:\n  async def g():\n" + textwrap.indent(TRY + handler, "    ")) is swallows


def test_it_is_told_before_the_program_runs() -> None:
    told: list[str] = []
    module, failure = load(b"try: raise ValueError\nexcept: pass\nraise KeyError", "program", note=told.append)
    assert told == ["SWALLOWED_EXCEPTION"] and module is None and failure is not None and failure[0] == "raised"


@pytest.mark.parametrize("source", [b"x = 'except: BaseException'", b"except_: int = 0", b"def except_all(): pass"])
def test_words_alone_are_nothing(source: bytes) -> None:
    told: list[str] = []
    assert load(source, "program", note=told.append)[0] is not None
    assert told == []
