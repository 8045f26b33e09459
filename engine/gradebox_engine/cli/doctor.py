"""`gradebox doctor`: the machine's checks, then a canary, an engine that has to grade right."""

import json
from dataclasses import asdict

from gradebox_engine import doctor as machine
from gradebox_engine.cli.errors import DONE, FAILED, BadArgument, one_line
from gradebox_engine.cli.terminal import console

_CANARIES = (
    ("def f(x):\n    return x + 1\n", "PASSED"),
    ("def f(x):\n    return x\n", "WRONG_ANSWER"),
    ("import os\nos._exit(0)\n", "RUNTIME_ERROR"),
    ("class Yes:\n    __eq__ = lambda self, other: True\ndef f(x):\n    return Yes()\n",
     "WRONG_ANSWER"),
)  # fmt: skip


def doctor(*, tier: str, as_json: bool) -> int:
    """Prints every check; 0 when all those of the tier (and of the tiers below it) hold."""
    if tier not in machine.TIERS:
        raise BadArgument(f"--tier must be one of {', '.join(machine.TIERS)}, is {tier!r}")
    asked = machine.TIERS[: machine.TIERS.index(tier) + 1]
    checks = list(machine.checks())
    broken = any(not check.ok for check in checks if check.tier == machine.TIERS[0])
    checks.append(_canary(broken))
    ok = all(check.ok for check in checks if check.tier in asked)
    if as_json:
        print(json.dumps({"tier": tier, "ok": ok, "checks": [asdict(c) for c in checks]}, indent=2))
    else:
        _show(checks, tier, ok)
    return DONE if ok else FAILED


def _canary(broken: bool) -> machine.Check:
    import gradebox

    tested = "graded right, wrong and cheating programs on an embedded engine"
    try:
        with gradebox.Engine(workers=1) as engine:
            results = engine.grade([source for source, _ in _CANARIES], tests=["assert f(1) == 2"])
            protections = ", ".join(engine.info().protections)
    except gradebox.GradeboxError as error:
        mend = "mend what is missing above" if broken else "gradebox serve shows the engine's log"
        return machine.Check("canary", False, machine.TIERS[0], tested, one_line(str(error)), mend)
    wrong = [
        f"program {index + 1} got {result.verdict.name}, not {expected}"
        for index, (result, (_, expected)) in enumerate(zip(results, _CANARIES, strict=True))
        if result.verdict.name != expected
    ]
    if wrong:
        mend = "do not use this engine for training data"
        return machine.Check("canary", False, machine.TIERS[0], tested, "; ".join(wrong), mend)
    return machine.Check("canary", True, machine.TIERS[0], tested, f"active: {protections}")


def _show(checks: list[machine.Check], tier: str, ok: bool) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "protection", "tier", "how it was tested", "what was found"):
        table.add_column(column, overflow="fold")
    for check in checks:
        mark = "[green]yes[/]" if check.ok else "[red]NO[/]"
        table.add_row(mark, check.name, check.tier, check.tested, check.found)
    out = console()
    out.print(table)
    for check in checks:
        if not check.ok:
            out.print(f"mend {check.name}: {check.mend}", markup=False, style="yellow")
    out.print(f"tier {tier}: {'reached' if ok else 'NOT reached'}")
