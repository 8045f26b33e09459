"""The client of OpenAI-compatible endpoints, against a real HTTP server that misbehaves as servers do."""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

pytest.importorskip("openai")

from tests.pipeline.replay import Faults, ReplayServer

from gradebox_command.errors import CommandError
from gradebox_trainer.models import Answer, Refusal, Request, Settings
from gradebox_trainer.models.endpoint import Endpoint, Traffic
from gradebox_trainer.models.kept import KeptAnswers

SETTINGS = Settings(temperature=0.7, top_p=1.0, max_tokens=100)


def recorded(prompt: str) -> list[str] | None:
    return None if prompt == "unknown" else [f"{prompt}-{number}" for number in range(8)]


def request(key: str, count: int = 1, first: int = 0, schema: dict[str, str] | None = None) -> Request:
    return Request(key, ({"role": "user", "content": key},), first, count, schema)


def ask(server: ReplayServer, requests: Iterable[Request], traffic: Traffic) -> dict[str, list[str] | Refusal]:
    endpoint = Endpoint("model", server.url, "key", SETTINGS, traffic)

    async def run() -> dict[str, list[str] | Refusal]:
        return {
            asked.key: answers if isinstance(answers, Refusal) else [answer.text for answer in answers]
            async for asked, answers in endpoint.ask(requests)
        }

    return asyncio.run(run())


def test_answers_by_number_with_what_was_asked() -> None:
    with ReplayServer(recorded) as server:
        found = ask(server, [request("a", 3, first=2, schema={"type": "object"}), request("b")], Traffic())

    assert found == {"a": ["a-2", "a-3", "a-4"], "b": ["b-0"]}
    sent = next(asked for asked in server.seen.requests if asked["messages"][0]["content"] == "a")
    assert (sent["model"], sent["n"], sent["seed"], sent["temperature"], sent["max_tokens"]) == (
        "model",
        3,
        2,
        0.7,
        100,
    )
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_no_more_requests_at_once_than_allowed_and_none_taken_ahead() -> None:
    taken = 0

    def requests() -> Iterable[Request]:
        nonlocal taken
        for number in range(12):
            taken += 1
            assert taken - server.seen.statuses[200] <= 4
            yield request(f"r{number}")

    with ReplayServer(recorded, Faults(delay_s=0.02)) as server:
        assert len(ask(server, requests(), Traffic(concurrency=3))) == 12

    assert server.seen.most_at_once == 3


def test_busy_and_broken_servers_are_asked_again_after_the_time_that_they_name() -> None:
    faults = Faults(busy=2, retry_after_s=0.3)
    started = time.monotonic()
    with ReplayServer(recorded, faults) as server:
        found = ask(server, [request("a")], Traffic())

    assert found == {"a": ["a-0"]}
    assert server.seen.statuses == {429: 2, 200: 1}
    assert time.monotonic() - started >= 0.6


def test_a_page_in_place_of_an_answer_and_a_status_of_500_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradebox_trainer.models.endpoint._FIRST_WAIT_S", 0.01)
    with ReplayServer(recorded, Faults(broken=2, no_json=1)) as server:
        assert ask(server, [request("a")], Traffic()) == {"a": ["a-0"]}

    assert server.seen.statuses == {500: 2, 200: 2}


def test_a_server_that_does_not_get_better_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradebox_trainer.models.endpoint._FIRST_WAIT_S", 0.01)
    with ReplayServer(recorded, Faults(broken=100)) as server, pytest.raises(CommandError, match="tried 3 times"):
        ask(server, [request("a")], Traffic(attempts=3))


def test_nobody_at_the_address_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradebox_trainer.models.endpoint._FIRST_WAIT_S", 0.01)
    with ReplayServer(recorded) as server:
        pass
    with pytest.raises(CommandError, match="does not answer"):
        ask(server, [request("a")], Traffic(attempts=2))


def test_another_path_ends_the_run_at_once() -> None:
    with ReplayServer(recorded) as server:
        server.url += "/v2"
        with pytest.raises(CommandError, match="there is nothing at"):
            ask(server, [request("a")], Traffic())

    assert server.seen.statuses == {404: 1}


@pytest.mark.parametrize("refuses", [{"response_format"}, {"n"}, {"seed", "response_format"}])
def test_what_a_server_does_not_know_is_left_out(refuses: set[str]) -> None:
    requests = [request(key, 2, schema={"type": "object"}) for key in "abc"]
    with ReplayServer(recorded, Faults(refuses=frozenset(refuses))) as server:
        found = ask(server, requests, Traffic(concurrency=1))

    assert all(answers for answers in found.values()) and len(found) == 3
    assert server.seen.statuses[400] <= 2  # the second and third request know


def test_what_the_server_refuses_altogether_is_a_refusal_and_the_rest_goes_on() -> None:
    with ReplayServer(recorded) as server:
        found = ask(server, [request("unknown"), request("a")], Traffic(concurrency=1))

    assert isinstance(found["unknown"], Refusal) and "no answer to this" in found["unknown"].reason
    assert found["a"] == ["a-0"]


def test_requests_and_tokens_a_minute_are_kept_to() -> None:
    with ReplayServer(recorded) as server:
        started = time.monotonic()
        ask(server, [request(f"r{number}") for number in range(62)], Traffic(requests_per_minute=60))
        by_requests_s = time.monotonic() - started
        started = time.monotonic()
        ask(server, [request(f"t{number}", 2) for number in range(3)], Traffic(concurrency=1, tokens_per_minute=230))
        by_tokens_s = time.monotonic() - started

    assert by_requests_s >= 1.9  # 60 at once, then one a second
    assert by_tokens_s < 30  # only the first is taken to be as long as it may be


def kept(
    path: Path, server: ReplayServer, requests: list[Request], settings: Settings = SETTINGS
) -> list[list[Answer]]:
    endpoint = Endpoint("model", server.url, "key", settings, Traffic())
    with KeptAnswers(path, "model", settings) as answers:
        asyncio.run(answers.ask(endpoint, requests, lambda count: None))
        return [answers.answers(asked) for asked in requests]


def test_answers_are_kept_and_only_the_missing_ones_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with ReplayServer(recorded) as server:
        first = kept(path, server, [request("a", 3), request("b", 2)])
        assert server.seen.answers == 5
        # Killed in the middle of a row: it is cut off, and its answer asked for again.
        data = path.read_bytes()
        lost = [line for line in data.splitlines(keepends=True) if b'"number":1' not in line]
        path.write_bytes(b"".join(lost) + data[:30])
        again = kept(path, server, [request("a", 4), request("b", 2)])
        assert server.seen.answers == 8

    assert [answer.text for answer in again[0]] == ["a-0", "a-1", "a-2", "a-3"]
    assert [answer.text for answer in again[1]] == [answer.text for answer in first[1]] == ["b-0", "b-1"]
    assert path.read_bytes().endswith(b"\n")


def test_other_settings_are_another_question(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with ReplayServer(recorded) as server:
        kept(path, server, [request("a")])
        kept(path, server, [request("a")], Settings(temperature=0.0, top_p=1.0, max_tokens=100))

    assert server.seen.answers == 2


def test_a_server_that_gives_fewer_answers_is_asked_for_the_rest(tmp_path: Path) -> None:
    with ReplayServer(recorded, Faults(most_choices=2)) as server:
        found = kept(tmp_path / "answers.jsonl", server, [request("a", 5), request("b", 1)])

    assert [answer.text for answer in found[0]] == ["a-0", "a-1", "a-2", "a-3", "a-4"]
    assert [asked.get("n") for asked in server.seen.requests if asked["messages"][0]["content"] == "a"] == [5, 3, None]


def test_tokens_are_counted_once_and_refusals_kept(tmp_path: Path) -> None:
    endpoint_settings = SETTINGS
    with ReplayServer(recorded) as server:
        endpoint = Endpoint("model", server.url, "key", endpoint_settings, Traffic())
        with KeptAnswers(tmp_path / "answers.jsonl", "model", SETTINGS) as answers:
            asyncio.run(answers.ask(endpoint, [request("abcd", 2), request("unknown")], lambda count: None))

    usage = answers.usage.summary(prices=(1.0, 10.0))
    assert (usage["asked"], usage["answers"], usage["refused"]) == (3, 2, 1)
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (2, 4)
    assert usage["cost_usd"] == pytest.approx(42e-6)
    assert answers.usage.summary(None)["cost_usd"] is None
    assert "no answer to this" in answers.refusals["unknown"]


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    with (
        KeptAnswers(tmp_path / "answers.jsonl", "model", SETTINGS),
        pytest.raises(CommandError, match="is being written by another process"),
    ):
        KeptAnswers(tmp_path / "answers.jsonl", "model", SETTINGS)
