"""The two vocabularies of results. Their numbers are the wire's."""

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
