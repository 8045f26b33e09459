"""The live page in a real browser: what it shows, what it never does, light and dark, wide and narrow."""

from typing import TYPE_CHECKING, Any

import pytest

from gradebox_engine.families import Family
from gradebox_engine.http.server import bind, serve_http
from gradebox_engine.overview import Overview
from gradebox_engine.places import WorkerView
from gradebox_engine.readiness import Readiness
from gradebox_engine.recent import ErrorEvent, Recent
from gradebox_engine.snapshot import Facts, Snapshot

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

HOSTILE = "<img src=x onerror=\"document.title='taken over'\"><script>document.title='taken over'</script>"


def snapshot(*, submissions: float, ready: bool = True, text: str = "plain") -> Snapshot:
    def family(name: str, kind: str, *samples: tuple[dict[str, str], float]) -> Family:
        suffix = "_total" if kind == "counter" else ""
        return Family(name, "", kind, [(name + suffix, tuple(labels.items()), value) for labels, value in samples])

    states: list[Any] = ["busy", "idle", "starting", "new jail"]
    return Snapshot(
        front=1,
        readiness=Readiness(ready, "" if ready else f"no worker is ready {text}"),
        facts=Facts("1.2.3", "full", "python@sha256:" + "ab" * 32, ["sealed-judge", text], 1000, 1 << 30),
        workers=[WorkerView(place + 1, state, 100 + place, 3, 7, 1, 0) for place, state in enumerate(states)],
        families=[
            family(
                "gradebox_submissions",
                "counter",
                ({"tenant": text, "verdict": "PASSED"}, submissions),
                ({"tenant": text, "verdict": "ENGINE_ERROR"}, 2.0),
            ),
            family("gradebox_program_cpu_seconds", "counter", ({"tenant": text}, 12.5)),
            family("gradebox_queue_programs", "gauge", ({}, 1234.0)),
            family("gradebox_in_flight_programs", "gauge", ({"tenant": text}, 77.0)),
            family("gradebox_grpc_calls", "counter", ({"tenant": text, "method": "Grade", "code": "OK"}, 5.0)),
        ],
        errors=[ErrorEvent("2026-01-02T03:04:05Z", "error", "worker ended", text, 1)],
    )


async def opened(browser: "Browser", address: str, said: list[str], **options: Any) -> "Page":
    context = await browser.new_context(**options)
    page = await context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(address) else said.append(request.url))
    await page.goto(address)
    await page.wait_for_selector("#numbers b")
    return page


async def test_what_the_page_shows(browser: "Browser") -> None:
    overview, said = Overview(1, Recent()), list[str]()
    await overview.update(snapshot(submissions=998))
    listener = bind("127.0.0.1:0")
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    async with serve_http(listener, overview):
        page = await opened(browser, address, said)
        text = await page.inner_text("body")
        for shown in ("ready", "version 1.2.3", "tier full", "1,234", "sealed-judge", "worker ended", "1 busy with 3"):
            assert shown in text
        assert "998" in await page.inner_text("#verdicts")
        await page.wait_for_selector("#throughput svg polyline", state="attached")

        await overview.update(snapshot(submissions=1998, ready=False))
        await page.wait_for_selector("#verdicts :text('1,998')")
        assert await page.inner_text("#status") == "not ready: no worker is ready plain"
        assert len(await page.query_selector_all("#errors tbody tr")) == 2
    await page.wait_for_selector("#status:text('no contact since')")
    assert "1,998" in await page.inner_text("#verdicts")  # what was known last
    assert [line for line in said if "ERR_CONNECTION" not in line] == []


async def test_texts_are_never_markup_and_nothing_comes_from_elsewhere(browser: "Browser") -> None:
    overview, said = Overview(1, Recent()), list[str]()
    await overview.update(snapshot(submissions=1, ready=False, text=HOSTILE))
    listener = bind("127.0.0.1:0")
    async with serve_http(listener, overview):
        page = await opened(browser, f"http://127.0.0.1:{listener.getsockname()[1]}/", said)
        for place in ("#status", "#tenants", "#protections", "#errors"):
            assert "<img" in await page.inner_text(place)
        assert await page.title() == "gradebox"
        assert await page.query_selector_all("img, main script") == []
        # Even if markup got in, its script would not run.
        link = '<a id="x" onclick="document.title=1">x</a>'
        await page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", link)
        await page.click("#x")
        assert await page.title() == "gradebox"
        assert all("Content Security Policy" in line for line in said) and said


@pytest.mark.parametrize("width", [320, 390, 800, 1280, 1920])
async def test_it_fits_any_screen_in_light_and_dark(browser: "Browser", width: int) -> None:
    overview, said = Overview(1, Recent()), list[str]()
    await overview.update(snapshot(submissions=123_456_789, text="a-long-name-without-a-space-" * 8))
    listener = bind("127.0.0.1:0")
    grounds = set()
    async with serve_http(listener, overview):
        for scheme in ("light", "dark"):
            options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
            page = await opened(browser, f"http://127.0.0.1:{listener.getsockname()[1]}/", said, **options)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            grounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2
    assert said == []
