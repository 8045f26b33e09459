"""The two system call policies: every rule of each one fires, alone and with every right that could make a call work.

The controls show what the calls of calls.py do without a policy, and that taking a rule out takes its refusal away.
"""

import os
from unittest import mock

import pyseccomp
import pytest
from tests.sandbox.calls import (
    ALLOWED,
    CALL_OF_32_BITS,
    CALLS,
    ENOSYS,
    ENOTSUP,
    EPERM,
    KILLED,
    LAST_NUMBER,
    Answer,
    ask,
)
from tests.sandbox.partial import NO_PRIVILEGE, without

from gradebox_engine.jail import seccomp

pytestmark = [
    pytest.mark.usefixtures("private_mounts"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="NOT TESTED: the call numbers are x86-64's"),
]

OLD_KERNELS = 440  # the last call of the oldest kernel that the engine is for, 5.10
JAIL, PROGRAM = "jail's policy", "program's filter"
ARGUMENTS = {name: call.arguments for name, call in CALLS.items()}


def own_name(name: str) -> str:
    """A row's system call."""
    return name.split("(")[0].split()[0]


def programs_answers() -> dict[str, Answer]:
    """What the program's filter makes of every row. What this libseccomp has no name for, no rule can name."""
    answers: dict[str, Answer] = {}
    for name, call in CALLS.items():
        nameless = pyseccomp.resolve_syscall(pyseccomp.Arch.X86_64, own_name(name)) < 0
        answers[name] = EPERM if call.by_program == ENOSYS and nameless else call.by_program
    return answers


def differing(got: dict[str, Answer], wanted: dict[str, Answer]) -> dict[str, tuple[Answer, Answer]]:
    """The calls that were answered otherwise: (got, wanted)."""
    return {name: (got[name], answer) for name, answer in wanted.items() if got[name] != answer}


def test_a_program_is_refused_every_call() -> None:
    with without() as jail:
        got = ask(jail, ARGUMENTS)
    stricter = {name: KILLED if CALLS[name].by_jail == KILLED else said for name, said in programs_answers().items()}
    stricter |= {name: ENOSYS for name, call in CALLS.items() if call.by_jail == ENOSYS}
    assert differing(got, stricter) == {}


def test_the_programs_filter_alone() -> None:
    with without(*(NO_PRIVILEGE - {PROGRAM})) as jail:
        got = ask(jail, ARGUMENTS)
    assert differing(got, programs_answers()) == {}


def test_the_jails_policy_alone() -> None:
    with without(*(NO_PRIVILEGE - {JAIL})) as jail:
        got = ask(jail, ARGUMENTS)
    refused = {name: call.by_jail for name, call in CALLS.items() if call.by_jail is not None}
    assert differing(got, refused) == {}
    # What it leaves to the program's filter: the fork server needs it, or another layer confines it.
    left = {name for name, call in CALLS.items() if call.by_jail is None}
    assert {name for name in left if got[name] == KILLED} == set()


def test_the_control_no_policy() -> None:
    with without(*NO_PRIVILEGE) as jail:
        got = ask(jail, ARGUMENTS)
    assert KILLED not in got.values()
    same = {name for name, call in CALLS.items() if got[name] == call.by_program}
    too_new = {name for name in same if got[name] == ENOSYS and int(CALLS[name].arguments.split(",")[0]) > OLD_KERNELS}
    assert same - too_new == set(), "without a policy the answer is the same: these rows show nothing"


@pytest.mark.parametrize("off", [PROGRAM, JAIL])
def test_a_call_of_another_architecture_kills(off: str) -> None:
    # The program's filter refuses by architecture; nsjail's policy compiler makes its policy for one architecture, too.
    with without(off) as jail:
        ran = jail.run("import ctypes, mmap" + CALL_OF_32_BITS + "print(function())")
    assert ran.fault is not None and "SIGSYS" in ran.fault.message


def test_nothing_else_is_allowed() -> None:
    known = {pyseccomp.resolve_syscall(pyseccomp.Arch.X86_64, name) for name in ALLOWED}
    known |= {335, 336}  # uretprobe, uprobe: no filter is asked; they serve the kernel's own trampolines alone
    others = {str(n): f"{n}, -1, -1, -1, -1, -1, -1" for n in range(LAST_NUMBER) if n not in known}
    with without(*(NO_PRIVILEGE - {PROGRAM})) as jail:
        got = ask(jail, others)
    assert {number: said for number, said in got.items() if said not in (KILLED, EPERM, ENOSYS, ENOTSUP)} == {}


def test_every_rule_has_a_row() -> None:
    ruled = {*seccomp._NEVER, *seccomp._EPERM, *seccomp._ENOSYS, *seccomp._ENOTSUP, *seccomp._FOR_THE_FORK_SERVER}
    rows = {own_name(name) for name in CALLS}
    assert ruled | set(seccomp._JAIL_NEVER) | set(seccomp._JAIL_ENOSYS) <= rows
    assert set(ALLOWED) >= {*seccomp._ALLOWED, *seccomp._MORE_PROCESSES}


@pytest.mark.parametrize("half", [0, 1])
def test_without_a_rule_of_the_jails_policy_nothing_refuses(half: int) -> None:
    """Takes every other name out of the policy, and then those between them."""
    never, absent = seccomp._JAIL_NEVER, seccomp._JAIL_ENOSYS
    taken = {*never[half::2], *absent[half::2]}
    families = {17: "AF_PACKET", 38: "AF_ALG", 40: "AF_VSOCK", 44: "AF_XDP"}
    let_in = list(families)[half::2]
    with (
        mock.patch.object(seccomp, "_JAIL_NEVER", [name for name in never if name not in taken]),
        mock.patch.object(seccomp, "_JAIL_ENOSYS", [name for name in absent if name not in taken]),
        mock.patch.object(seccomp, "_CONFINED_FAMILIES", (*seccomp._CONFINED_FAMILIES, *let_in)),
        without(*(NO_PRIVILEGE - {JAIL})) as jail,
    ):
        got = ask(jail, ARGUMENTS)
    ruled = {name: call.by_jail for name, call in CALLS.items() if call.by_jail is not None}
    gone = {name for name in ruled if own_name(name) in taken} | {f"socket({families[n]})" for n in let_in}
    assert len(gone) > 20
    assert {name for name, answer in ruled.items() if got[name] != answer} == gone - _absent_here(gone)


def _absent_here(names: set[str]) -> set[str]:
    """Calls that refused themselves: ENOSYS is this kernel's own answer."""
    with without(*NO_PRIVILEGE) as jail:
        got = ask(jail, {name: ARGUMENTS[name] for name in names})
    return {name for name in names if got[name] == ENOSYS == CALLS[name].by_jail}


@pytest.mark.parametrize("half", [0, 1])
def test_without_a_rule_of_the_programs_filter_nothing_refuses(half: int) -> None:
    """What it takes away from the fork server's rights: every other rule of it, and then those between them."""
    names, flags = seccomp._FOR_THE_FORK_SERVER, seccomp._NAMESPACE_FLAGS
    options = seccomp._PRCTL_FOR_THE_FORK_SERVER
    kept = names[half::2]
    with (
        mock.patch.object(seccomp, "_FOR_THE_FORK_SERVER", kept),
        mock.patch.object(seccomp, "_KILLS_A_PROGRAM", [n for n in seccomp._KILLS_A_PROGRAM if n in kept]),
        mock.patch.object(seccomp, "_NAMESPACE_FLAGS", flags[half::2]),
        mock.patch.object(seccomp, "_PRCTL_FOR_THE_FORK_SERVER", options[half::2]),
    ):
        reduced = seccomp.program_filter()
    with (
        mock.patch.object(seccomp, "program_filter", lambda: reduced),
        without(*(NO_PRIVILEGE - {PROGRAM})) as jail,
    ):
        got = ask(jail, ARGUMENTS)
    prctl = {4: "PR_SET_DUMPABLE", 22: "PR_SET_SECCOMP", 38: "PR_SET_NO_NEW_PRIVS"}
    gone = {name for name in names if name not in kept}
    gone |= {f"prctl({prctl[option]})" for option in options if option not in options[half::2]}
    taken_flags = [flag for flag in flags if flag not in flags[half::2]]
    gone |= {
        name
        for name, call in CALLS.items()
        if own_name(name) == "clone" and any(int(call.arguments.split(", ")[1]) & flag for flag in taken_flags)
    }
    changed = differing(got, programs_answers())
    # Flags that make no PID namespace and no thread are then a further process, which the worker refers to itself.
    assert changed.keys() == gone, changed


def test_without_the_list_of_what_kills_a_call_is_only_refused() -> None:
    with (
        mock.patch.object(seccomp, "_NEVER", []),
        mock.patch.object(seccomp, "_ENOSYS", []),
        mock.patch.object(seccomp, "_ENOTSUP", []),
        without(*(NO_PRIVILEGE - {PROGRAM})) as jail,
    ):
        got = ask(jail, ARGUMENTS)
    listed = {*seccomp._NEVER, *seccomp._ENOSYS, *seccomp._ENOTSUP}
    assert {name: got[name] for name in CALLS if own_name(name) in listed and got[name] != EPERM} == {}


def test_what_is_listed_as_allowed_is_what_passes() -> None:
    """The rows that no list names: put on the list of the allowed, each reaches the kernel."""
    listed = {*seccomp._NEVER, *seccomp._ENOSYS, *seccomp._ENOTSUP, *seccomp._EPERM, *seccomp._FOR_THE_FORK_SERVER}
    unlisted = {own_name(name) for name in CALLS if own_name(name) not in listed} - {"x32"}
    fork_servers = {"prctl(PR_SET_DUMPABLE)", "prctl(PR_SET_SECCOMP)", "prctl(PR_SET_NO_NEW_PRIVS)"}
    rows = {n: ARGUMENTS[n] for n in CALLS.keys() - fork_servers if own_name(n) in unlisted - {"clone"}}
    with (
        mock.patch.object(seccomp, "_ALLOWED", [*seccomp._ALLOWED, *unlisted]),
        without(*(NO_PRIVILEGE - {PROGRAM})) as jail,
    ):
        got = ask(jail, rows)
    still = {name: said for name, said in got.items() if said in (EPERM, KILLED)}
    assert len(rows) > 40 and still == {}
