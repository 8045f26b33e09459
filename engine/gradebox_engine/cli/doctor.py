"""`gradebox doctor`: the machine's checks, then a canary, an engine that has to grade right and cannot be cheated."""

import json
import os
import tempfile
from dataclasses import asdict

from gradebox_command.errors import DONE, FAILED, BadArgument, one_line
from gradebox_command.terminal import console
from gradebox_engine import doctor as machine

_CANARIES = (
    ("def f(x):\n    return x + 1\n", "PASSED"),
    ("def f(x):\n    return x\n", "WRONG_ANSWER"),
    ("import os\nos._exit(0)\n", "RUNTIME_ERROR"),
    ("class Yes:\n    __eq__ = lambda self, other: True\ndef f(x):\n    return Yes()\n",
     "WRONG_ANSWER"),
)  # fmt: skip


def doctor(*, tier: str | None, as_json: bool) -> int:
    """Prints every check; 0 when all those of the tier (and of the tiers below it) hold.

    tier: None asks for what the user can expect: full as root, else rootless.
    """
    tier = tier or ("full" if os.geteuid() == 0 else "rootless")
    if tier not in machine.TIERS:
        raise BadArgument(f"--tier must be one of {', '.join(machine.TIERS)}, is {tier!r}")
    asked = machine.TIERS[: machine.TIERS.index(tier) + 1]
    checks = list(machine.checks())
    checks.append(_canary("rootless" if tier == "rootless" else "full"))
    ok = all(check.ok for check in checks if check.tier in asked)
    if as_json:
        print(json.dumps({"tier": tier, "ok": ok, "checks": [asdict(c) for c in checks]}, indent=2))
    else:
        _show(checks, tier, ok)
    return DONE if ok else FAILED


def _canary(engine_tier: str) -> machine.Check:
    name, tested = "canary", "sealed judge: graded right, wrong and cheating programs on an embedded engine"
    try:
        active, wrong = _graded(engine_tier)
    except Exception as error:  # an engine that does not start, or does not answer
        mend = "mend what is missing above; gradebox serve shows the engine's log"
        return machine.Check(name, False, engine_tier, tested, one_line(str(error)), mend)
    if wrong:
        return machine.Check(
            name, False, engine_tier, tested, "; ".join(wrong), "do not use this engine for training data"
        )
    return machine.Check(name, True, engine_tier, tested, f"active: {active}")


def _graded(engine_tier: str) -> tuple[str, list[str]]:
    """The protections of an engine of this tier, and which of its verdicts are wrong."""
    import gradebox

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        config.write(f'require_tier = "{engine_tier}"\n')
        config.flush()
        with gradebox.Engine(workers=1, config_file=config.name) as engine:
            results = engine.grade([source for source, _ in _CANARIES], tests=["assert f(1) == 2"], fresh=True)
            active = ", ".join(engine.info().protections)
    wrong = [
        f"program {index + 1} got {result.verdict.name}, not {expected}"
        for index, (result, (_, expected)) in enumerate(zip(results, _CANARIES, strict=True))
        if result.verdict.name != expected
    ]
    return active, wrong


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
    mends: dict[str, list[str]] = {}
    for check in checks:
        if not check.ok:
            mends.setdefault(check.mend, []).append(check.name)
    for mend, names in mends.items():
        out.print(f"mend {', '.join(names)}: {mend}", markup=False, style="yellow")
    out.print(f"tier {tier}: {'reached' if ok else 'NOT reached'}")
