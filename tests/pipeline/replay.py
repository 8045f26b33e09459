"""An OpenAI-compatible server that answers with what real models answered before: no model, and the same each time.

It speaks `/v1/chat/completions` as far as gradebox uses it. An answer is picked by the conversation (the caller says
how) and by number: `seed` is the number of the first one that is asked for, `n` how many. So the server keeps nothing
between requests, and a client that was killed gets the rest from another one.

It can also misbehave as servers do: see `Faults`.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

type Recorded = Callable[[str], Sequence[str] | None]
"""The recorded answers to a conversation (the text of its last message); None where there are none."""


@dataclass
class Faults:
    """How the server misbehaves. Of counts, each request that is due is used up.

    Attributes:
        busy: so many requests get 429, with `retry_after_s`.
        broken: so many get 500.
        no_json: so many get 200 with a page instead of JSON.
        refuses: parameters that it answers with 400.
        most_choices: it gives fewer answers than asked for.
        delay_s: before every answer.
    """

    busy: int = 0
    retry_after_s: float = 0.05
    broken: int = 0
    no_json: int = 0
    refuses: frozenset[str] = frozenset()
    most_choices: int | None = None
    delay_s: float = 0.0


@dataclass
class Seen:
    """What the server was asked, and what it said."""

    statuses: Counter[int] = field(default_factory=Counter)
    requests: list[Mapping[str, Any]] = field(default_factory=list)
    answers: int = 0
    most_at_once: int = 0


class ReplayServer:
    """Serves in threads of this process, on a port of its own choice. Use it as a context manager."""

    def __init__(self, recorded: Recorded, faults: Faults | None = None) -> None:
        self._recorded = recorded
        self.faults = faults or Faults()
        self.seen = Seen()
        self._lock = threading.Lock()
        self._at_once = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, headers, content = server.answer(self.path, json.loads(body))
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def answer(self, path: str, request: Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) for a request."""
        with self._lock:
            self.seen.requests.append(request)
            self._at_once += 1
            self.seen.most_at_once = max(self.seen.most_at_once, self._at_once)
        try:
            time.sleep(self.faults.delay_s)
            status, headers, body = self._answer(path, request)
        finally:
            with self._lock:
                self._at_once -= 1
        with self._lock:
            self.seen.statuses[status] += 1
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return status, {"content-type": "application/json", **headers}, content

    def _answer(self, path: str, request: Mapping[str, Any]) -> tuple[int, dict[str, str], Any]:
        if path != "/v1/chat/completions":
            return 404, {}, _error(f"there is nothing at {path}")
        with self._lock:
            if self.faults.busy > 0:
                self.faults.busy -= 1
                return 429, {"retry-after": str(self.faults.retry_after_s)}, _error("slow down")
            if self.faults.broken > 0:
                self.faults.broken -= 1
                return 500, {}, _error("broken")
            if self.faults.no_json > 0:
                self.faults.no_json -= 1
                return 200, {}, b"<html>welcome</html>"
        if refused := sorted(self.faults.refuses & set(request)):
            return 400, {}, _error(f"unsupported parameter: {refused[0]}")
        prompt = request["messages"][-1]["content"]
        recorded = self._recorded(prompt)
        if recorded is None:
            return 400, {}, _error("no answer to this was recorded")
        first, count = int(request.get("seed", 0)), int(request.get("n", 1))
        texts = [recorded[number % len(recorded)] for number in range(first, first + count)][: self.faults.most_choices]
        with self._lock:
            self.seen.answers += len(texts)
        return 200, {}, _completion(request["model"], prompt, texts)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _completion(model: str, prompt: str, texts: Sequence[str]) -> dict[str, Any]:
    tokens = [len(text) // 4 + 1 for text in texts]
    choices = [
        {"index": index, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": len(prompt) // 4 + 1, "completion_tokens": sum(tokens)}
    return {"id": "replayed", "object": "chat.completion", "model": model, "choices": choices, "usage": usage}


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "replay"}}
