"""The judge: test suites in, plans and verdicts out. Pure: no I/O, no processes, nothing of the wire.

The rooms, in the order in which a test passes through them:

- `suite`     what is to be tested, and the words verdict and seal
- `plan`      which way each test goes, by its text alone: the fast path, the oracle, beside the program
- `extract`, `scope`, `helpers`   the fast path's compiler: an assert → calls into the program + a check
- `reasons`, `taint`              why a test must run beside the program; whose word a test takes
- `evaluate`  answers of the program + a check → a decision
- `operators`, `functions`, `methods`, `equality`   what a check may compute, each with its guard
- `compare`   standard output against what was expected
- `result`    verdicts of tests → verdict and pass rate of a submission

Tests are written by models and answers by hostile programs, and all this runs in a trusted process.
So nothing is ever compiled or executed here, every operation has a bound on what it may cost, and
whatever the judge does not know to be cheap and exactly Python's is left to the oracle.
"""
