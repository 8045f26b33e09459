"""The report in a real browser: offline, nothing hostile runs, it fits, light and dark."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.unit.trainer.test_report import HOSTILE, label, write

from gradebox_engine.cli import main

if TYPE_CHECKING:
    from playwright.async_api import Browser

ATTACK = f"<img src=x onerror=\"document.title='taken over'\"><script>document.title='taken over'</script>{HOSTILE}"
VERDICTS = ("WRONG_ANSWER", "RUNTIME_ERROR", "TIME_LIMIT", "MEMORY_LIMIT", "OUTPUT_LIMIT", "COMPILE_ERROR")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    rows = []
    for number in range(120):
        verdicts = ["PASSED"] * (number % 5) + [VERDICTS[number % 6]] * (4 - number % 5)
        row = label(f"{ATTACK} {number}", verdicts, id=f"{ATTACK} {number % 7}", generator=f"{ATTACK} {number % 4}")
        for test in row["tests"]:
            test["message"] = ATTACK
        rows.append(row)
    labels = write(tmp_path / "labels.jsonl", rows)
    other = [{**row, "tests": [{**row["tests"][0], "verdict": "SKIPPED"}, *row["tests"][1:]]} for row in rows]
    again = write(tmp_path / "again.jsonl", other)
    problems = write(tmp_path / "p.jsonl", [{"id": f"{ATTACK} {n}", "prompt": ATTACK} for n in range(7)])
    programs = write(
        tmp_path / "g.jsonl", [{"id": f"{ATTACK} {n % 7}", "programs": [f"{ATTACK} {n}"]} for n in range(120)]
    )
    row = {"programs": 1, "pearson": 0.9, "spearman": 0.8, "all_passed": 1.0, "kappa": 0.7, "false_passed": 0}
    agreement = {"labels": "a", "reference": "b", "overall": {**row, "false_failed": 2}, "generators": {}}
    (tmp_path / "agreement.json").write_text(json.dumps(agreement))
    output = tmp_path / "report.html"
    flags = [f"--problems={problems}", f"--programs={programs}", f"--again={again}"]
    assert main(["report", str(labels), "-o", str(output), *flags, f"--agreement={tmp_path}/agreement.json"]) == 0
    return output


async def test_what_the_report_shows_and_that_nothing_in_it_runs(browser: "Browser", page: Path) -> None:
    context = await browser.new_context(offline=True)
    opened = await context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: None if request.url == page.as_uri() else said.append(request.url))
    await opened.goto(page.as_uri())
    for summary in await opened.query_selector_all("summary"):
        await summary.click()
    text = await opened.inner_text("body")
    for shown in (
        "120",
        "Pass rates",
        "TIME_LIMIT",
        "Cohen's",
        "0.700",
        "preference pairs",
        "Of 120 labels, 120 differ",
    ):
        assert shown.lower() in text.lower(), shown
    assert text.count("<img") > 20  # as text: names, messages, prompts, programs
    assert await opened.title() == "gradebox: labels.jsonl"
    assert await opened.query_selector_all("img, script, iframe, [onerror]") == []
    assert len(await opened.query_selector_all("svg")) == 6
    for svg in await opened.query_selector_all("svg"):
        box = await svg.bounding_box()
        assert box is not None and box["width"] > 300 and box["height"] > 40
    ids = await opened.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert said == []
    await context.close()


@pytest.mark.parametrize("width", [320, 800, 1600])
async def test_the_report_fits_in_light_and_dark(browser: "Browser", page: Path, width: int) -> None:
    inks = set()
    for scheme in ("light", "dark"):
        context = await browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        opened = await context.new_page()
        await opened.goto(page.as_uri())
        assert await opened.evaluate("document.documentElement.scrollWidth") <= width
        inks.add(await opened.evaluate("getComputedStyle(document.querySelector('svg text')).fill"))
        await context.close()
    assert len(inks) == 2  # the charts' text has the page's colour
