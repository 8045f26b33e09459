"""Which tests of a model are taken."""

import pytest

from gradebox_trainer.synthesis.asserts import Unfit, read_assert


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("assert f(1) == 2", "assert f(1) == 2"),
        ("  assert f( 1 )==2, 'why'  # comment", "assert f(1) == 2"),
        ("assert f([1, -2], {'a': (1,)}) == {3}", "assert f([1, -2], {'a': (1,)}) == {3}"),
        ("assert 2 == f(1)", "assert 2 == f(1)"),
        ("assert not f('')", "assert not f('')"),
        ("assert f(x=1)", "assert f(x=1)"),
        ("assert f(2) is None", "assert f(2) is None"),
        ("assert abs(f(2.0) - 1.5) < 1e-6", "assert abs(f(2.0) - 1.5) < 1e-06"),
        ("assert math.isclose(f(2), math.pi)", "assert math.isclose(f(2), math.pi)"),
        ("assert sorted(f([0] * 3)) == [1] * 2 ** 2", "assert sorted(f([0] * 3)) == [1] * 2 ** 2"),
        ("assert isinstance(f(1), list)", "assert isinstance(f(1), list)"),
        ("assert f(float('inf')) == float('nan')", "assert f(float('inf')) == float('nan')"),
        ("assert f('abc'[1:]) == 'x'", "assert f('abc'[1:]) == 'x'"),
        ("assert f(1)[0] == 2", "assert f(1)[0] == 2"),
    ],
)
def test_taken_in_one_spelling(source: str, text: str) -> None:
    assert read_assert(source, "f").text == text


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("assert f(", "not Python"),
        ("f(1) == 2", "not a single assert"),
        ("assert f(1) == 2; assert f(2) == 3", "not a single assert"),
        ("x = 1\nassert f(x) == 2", "not a single assert"),
        ("assert g(1) == 2", "does not call the entry point"),
        ("assert 1 == 1", "does not call the entry point"),
        ("assert f(1) == f(2)", "calls the entry point more than once"),
        ("assert f(f(1)) == 1", "calls the entry point more than once"),
        ("assert f(x) == 2", "not constant"),
        ("assert f(*[1]) == 2", "not constant"),
        ("assert f(**{'a': 1}) == 2", "not constant"),
        ("assert f([i for i in range(3)]) == 2", "not constant"),
        ("assert f(lambda: 1) == 2", "not constant"),
        ("assert f(f'{1}') == 2", "not constant"),
        ("assert (f(1) == 2, 'always true')", "does not compare"),
        ("assert f(1) == 2 or True", "not constant"),
        ("assert f(open('x')) == 2", "calls something else"),
        ("assert f(os.getpid()) == 2", "calls something else"),
        ("assert f(1).pop() == 2", "calls something else"),
        ("assert math.e.f(1) == f(1)", "calls something else"),
        ("assert f(1).real == 2", "not constant"),
        ("assert f(" + "9" * 5000 + ") == 2", "too long"),
        ("assert f(" + "-" * 3000 + "1) == 2", "not Python"),
        ("assert " + "(" * 300 + "f(1)" + ")" * 300, "not Python"),
        ("assert f(1) == 2\x00", "not Python"),
    ],
)
def test_refused_with_a_reason(source: str, why: str) -> None:
    with pytest.raises(Unfit) as refused:
        read_assert(source, "f")

    assert str(refused.value) == why


def test_equations_about_one_call_ask_the_same() -> None:
    asked = [
        read_assert(source, "f").question for source in ("assert f(1) == 2", "assert 3 == f( 1 )", "assert f(1) > 0")
    ]

    assert asked == ["f(1)", "f(1)", "assert f(1) > 0"]
