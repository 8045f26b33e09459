"""The vocabularies of results. Their numbers are the wire's."""

from enum import IntEnum


class Verdict(IntEnum):
    """What the judge says of one test case, or of a whole submission."""

    PASSED = 1
    WRONG_ANSWER = 2
    RUNTIME_ERROR = 3
    COMPILE_ERROR = 4
    TIME_LIMIT = 5
    MEMORY_LIMIT = 6
    OUTPUT_LIMIT = 7
    SKIPPED = 8
    ENGINE_ERROR = 9


class Seal(IntEnum):
    """How far a verdict can be trusted; a larger number is a stronger seal.

    SEALED: the expected value was never in a process that ran the program, and the answer was
    compared outside. COMPARED: decided outside, but on the word of the program's own code.
    IN_PROCESS: the test's own code ran beside the program and decided.
    """

    IN_PROCESS = 1
    COMPARED = 2
    SEALED = 3


class Evidence(IntEnum):
    """A sign that a program tried something else than to solve its problem. No verdict hangs on it.

    EARLY_EXIT: its process ended, or it raised SystemExit, before its tests had their answers.
    DENIED_SYSTEM_CALL: it asked the kernel for what no program here may do. CHANNEL_WRITE: it wrote
    on the channel by which its process answers. TEST_FILE_READ: it opened one of the files in its
    jail that look like tests, and are decoys. SWALLOWED_EXCEPTION: its source catches every
    exception, or those that fail a test or end a program, and goes on. PATCHED_BUILTINS: it had
    replaced builtins when it was loaded (by its own process's word).
    """

    EARLY_EXIT = 1
    DENIED_SYSTEM_CALL = 2
    CHANNEL_WRITE = 3
    TEST_FILE_READ = 4
    SWALLOWED_EXCEPTION = 5
    PATCHED_BUILTINS = 6
