"""What the front makes of requests: suites checked once and kept, and results of its own."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradebox_engine.convert import (
    InvalidSuite,
    check_files,
    limits_from_wire,
    limits_to_wire,
    normalised,
    suite_from_wire,
    suite_key,
)
from gradebox_engine.images.catalog import Offered, build_command, image_name, language_name
from gradebox_engine.images.image import PYTHON
from gradebox_engine.limits import Ceilings, Limits, compile_limits, longest_wall_time_s, resolve
from gradebox_engine.work import SuiteEntry
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

CACHE_BYTES = 256 << 20
CACHE_ENTRIES = 20_000
_GRACE_S = 60.0


class UnknownSuite(LookupError):
    """A suite named by a SHA-256 that this engine does not have (any more)."""


@dataclass(frozen=True, slots=True)
class Image:
    """What programs can run in. limits: its own defaults. compile_wall_s: the longest that compiling may take."""

    name: str
    digest: str
    languages: tuple[str, ...] = (PYTHON,)
    limits: Mapping[str, Any] = field(default_factory=dict)
    compile_wall_s: float = 0.0

    @property
    def full_name(self) -> str:
        """Name and digest, as results have it."""
        return f"{self.name}@{self.digest}"


def offered_image(one: Offered, ceilings: Ceilings) -> Image:
    """A built image as the front takes it."""
    manifest = one.manifest
    compiling = [
        longest_wall_time_s(resolve(compile_limits(its.compile_limits.model_dump(exclude_none=True)), ceilings))
        for its in manifest.languages.values()
        if its.compile
    ]
    return Image(
        name=manifest.name,
        digest=f"sha256:{one.built.digest}",
        languages=tuple(manifest.languages),
        limits=manifest.limits.model_dump(exclude_none=True),
        compile_wall_s=max(compiling, default=0.0),
    )


class Images:
    """What an engine offers: its own image, which is the first, and others. known: languages of those not built."""

    def __init__(self, offered: Sequence[Image], known: Mapping[str, Sequence[str]] | None = None) -> None:
        self.offered = tuple(offered)
        self.own = self.offered[0]
        names = {image.name for image in offered}
        self._unbuilt = {name: tuple(its) for name, its in (known or {}).items() if name not in names}

    def find(self, image: str, language: str, field: str) -> tuple[Image, str]:
        """The image and the language of a request ("" leaves it open). Raises InvalidSuite below `field`."""
        language = language_name(language)
        if image:
            found = next((one for one in self.offered if image in (one.name, one.full_name)), None)
            if found is None:
                raise InvalidSuite(f"{field}image", self._no_image(image))
            language = language or next(
                (one for one in (PYTHON, found.name) if one in found.languages), found.languages[0]
            )
            if language not in found.languages:
                have = ", ".join(found.languages)
                raise InvalidSuite(f"{field}language", f"{language!r} is not in image {found.name}, which has {have}")
            return found, language
        language = language or PYTHON
        found = next((one for one in self.offered if language in one.languages), None)
        if found is None:
            raise InvalidSuite(f"{field}language", self._no_language(language))
        return found, language

    def _no_image(self, image: str) -> str:
        name = image_name(image)
        if name in self._unbuilt:
            return f"{image!r} is not built, or not served; build it with: {build_command(name)}"
        have = ", ".join(one.full_name for one in self.offered)
        return f"{image!r} is not offered; there is {have}"

    def _no_language(self, language: str) -> str:
        for name, languages in self._unbuilt.items():
            if language in languages:
                command = build_command(name)
                return f"{language!r} needs image {name}, which is not built, or not served; build it with: {command}"
        have = ", ".join(dict.fromkeys(each for one in self.offered for each in one.languages))
        return f"{language!r} is not offered; there is {have}"


def program_bound_s(limits: Limits, tests: int, image: Image) -> float:
    """Seconds after which a worker that has not answered for one program must be broken."""
    run_s = 2 * (tests + 1) * longest_wall_time_s(limits)  # a test that times out makes the next one load
    return _GRACE_S + run_s + (tests + 1) * image.compile_wall_s


class Suites:
    """Suites by the SHA-256 of the bytes that a caller sent, in the form that workers get."""

    def __init__(self, images: Images, ceilings: Ceilings) -> None:
        self._images = images
        self._ceilings = ceilings
        self._entries: OrderedDict[bytes, SuiteEntry] = OrderedDict()
        self._bytes = 0

    def find(self, request: routed.RoutedGradeRequest) -> SuiteEntry:
        """The suite of a request. Raises UnknownSuite and InvalidSuite."""
        which = request.WhichOneof("suite_ref")
        if which is None:
            raise InvalidSuite("suite", "missing")
        inline = which == "suite"
        key = hashlib.sha256(request.suite).digest() if inline else request.suite_sha256
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            return entry
        if not inline:
            raise UnknownSuite(f"no suite {key.hex()} here; send it in full")
        entry = self._check(request.suite)
        self._keep(key, entry)
        return entry

    def _check(self, data: bytes) -> SuiteEntry:
        try:
            message = wire.Suite.FromString(data)
        except Exception as error:  # protobuf's DecodeError differs between its implementations
            raise InvalidSuite("suite", f"not a Suite message: {error}") from None
        image, language = self._images.find(message.image, message.language, "suite.")
        message.language = language
        suite = suite_from_wire(message, self._ceilings, image.limits)
        full = normalised(message, suite.limits, image.full_name)
        tests = len(suite.tests)
        bound_s = program_bound_s(suite.limits, tests, image)
        return SuiteEntry(suite_key(full), full, tests, bound_s, image=self._other(image))

    def _other(self, image: Image) -> str:
        """The image as the scheduler knows it: "" is the engine's own, which every worker has at hand."""
        return "" if image is self._images.own else image.full_name

    def _keep(self, key: bytes, entry: SuiteEntry) -> None:
        self._entries[key] = entry
        self._bytes += len(entry.data)
        while len(self._entries) > CACHE_ENTRIES or (self._bytes > CACHE_BYTES and len(self._entries) > 1):
            _, old = self._entries.popitem(last=False)
            self._bytes -= len(old.data)

    def run_request(self, request: wire.RunRequest) -> tuple[SuiteEntry, bytes]:
        """A RunRequest as workers get it, and what bounds it. Raises InvalidSuite."""
        image, request.language = self._images.find(request.image, request.language, "")
        limits = limits_from_wire(request.limits, self._ceilings, defaults=image.limits)
        request.limits.CopyFrom(limits_to_wire(limits))
        request.image = image.full_name
        check_files(request.files, request.fetch_files, limits)
        key, request.idempotency_key = request.idempotency_key, ""  # no part of what is asked
        entry = SuiteEntry(b"", b"", 1, program_bound_s(limits, 1, image), image=self._other(image))
        data = request.SerializeToString()
        request.idempotency_key = key
        return entry, data


def own_result(index: int, source: bytes, tests: int, verdict: "wire.Verdict", message: str) -> bytes:
    """A result that the front gives without running the program: ENGINE_ERROR, or one too large."""
    test = wire.TestResult(verdict=verdict, seal=wire.SEALED, message=message)
    result = wire.SubmissionResult(
        index=index,
        program_sha256=hashlib.sha256(source).digest(),
        verdict=verdict,
        tests=[test] * tests,
    )
    if verdict != wire.ENGINE_ERROR:
        result.pass_rate = 0.0
    return result.SerializeToString()
