"""How many examples: few and always the same in `make test`, many and new ones in `make fuzz`."""

import os

from hypothesis import HealthCheck, settings

_EXAMPLES = int(os.environ.get("GRADEBOX_FUZZ_EXAMPLES", "0"))

# A long run prints how to repeat what it finds.
FUZZ = settings(
    max_examples=_EXAMPLES or 150,
    derandomize=not _EXAMPLES,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
