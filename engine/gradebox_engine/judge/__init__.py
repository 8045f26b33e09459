"""The judge: test suites in, plans and verdicts out. Pure: no I/O, no processes, nothing of the wire.

The rooms, in the order in which a test passes through them:

- `suite`     what is to be tested, and the words verdict and seal
- `plan`      which way each test goes, by its text alone: the fast path, the oracle, beside the program
- `reasons`, `taint`   why a test must run beside the program; whose word a test takes
- `scope`, `setup`     which names the tests' own code binds, so that the rest are the program's
- `fast`, `calls`, `extract`, `comprehend`, `helpers`   the fast path's compiler: an assert → calls into the
  program and a check on their answers
- `kinds`, `equality`, `operators`, `callables`, `functions`, `library`, `methods`   what a check may compute, each
  with its guard, in a `frame` that holds answers and a budget of work
- `evaluate`  answers of the program + a check → a decision
- `compare`   standard output against what was expected
- `result`    verdicts of tests → verdict and pass rate of a submission
- `text`, `parts`      reading and writing source and values at a bounded cost

Tests are written by models and answers by hostile programs, and all this runs in a trusted process.
So nothing is ever compiled or executed here, every operation has a bound on what it may cost, and
whatever the judge does not know to be cheap and exactly Python's is left to the oracle.
"""
