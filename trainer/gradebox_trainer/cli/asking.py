"""What `synthesize` and `sample` share: asking with a progress bar, and the end of a run that is interrupted."""

import signal
import sys
from collections.abc import Callable

from gradebox_command.terminal import progress_bar
from gradebox_trainer.models import Model, Settings
from gradebox_trainer.models.kept import Usage
from gradebox_trainer.models.opening import Choice, open_model

type Ask = Callable[[Model, Callable[[int], None]], None]


def ask_model(choice: Choice, settings: Settings, ask: Ask, wanted: int, usage: Usage) -> bool:
    """Runs `ask` with the model; False when it was interrupted (SIGINT, SIGTERM), with what came in `usage`.

    Raises:
        CommandError: the model does not answer.
    """
    before = signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        with progress_bar(wanted, what="answers") as advance:
            ask(open_model(choice, settings), advance)
    except KeyboardInterrupt:
        print(
            f"gradebox: interrupted: {usage.kept_before + usage.answers:,} of {wanted:,} answers are kept; "
            "the same command goes on",
            file=sys.stderr,
        )
        return False
    finally:
        signal.signal(signal.SIGTERM, before)
    return True


def usage_words(usage: Usage, prices: tuple[float, float] | None) -> str:
    """What was asked and what it came to, in a line."""
    cost = usage.summary(prices)["cost_usd"]
    return (
        f"{usage.answers:,} answers ({usage.kept_before:,} were there), {usage.prompt_tokens:,} + "
        f"{usage.completion_tokens:,} tokens"
        + (f", {cost:.4f} US dollars" if cost is not None else "")
        + (f"; {usage.refused:,} refused" if usage.refused else "")
        + (f"; {usage.cut_off:,} cut off" if usage.cut_off else "")
    )
