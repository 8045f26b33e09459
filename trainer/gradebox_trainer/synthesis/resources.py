"""What a program needs from outside: files, network, processes, the user, the clock, chance, packages.

A seed with such code makes exercises that no assert with constants can test. Told from the text alone, so a program
that hides what it does gets past; the engine's jails are what protects.
"""

import ast
import re
import sys

from gradebox_trainer.python_text import parse_python

_OUTSIDE = frozenset(
    "asyncio concurrent ctypes curses dbm email fileinput ftplib getpass glob http imaplib importlib logging mmap "
    "multiprocessing os pathlib pickle poplib pty random readline resource sched secrets select selectors shelve "
    "shutil signal smtplib socket socketserver sqlite3 ssl subprocess sys syslog tempfile threading time tkinter "
    "turtle urllib uuid webbrowser xmlrpc zipfile".split()
)
_CALLS = frozenset("open input exec eval compile __import__ breakpoint exit quit".split())
_CLOCK = frozenset({"now", "today", "utcnow"})

_URL = re.compile(r"https?://|www\.", re.IGNORECASE)
_WORDS = re.compile(
    r"\b(?:standard input|stdin|stdout|from a file|to a file|the file system|text file|csv file|database|web ?page"
    r"|internet|user input|ask the user|current (?:time|date)|today's date"
    r"|random(?:ly)? (?:number|choose|select|generate))",
    re.IGNORECASE,
)


def outside_of_code(code: str) -> str | None:
    """What code needs from outside, in a word or two; None for nothing, "not Python" for what is none."""
    module = parse_python(code)
    if module is None:
        return "not Python"
    for node in ast.walk(module):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        for name in names:
            root = name.partition(".")[0]
            if root in _OUTSIDE or root not in sys.stdlib_module_names:
                return f"imports {root or 'its own package'}"
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in _CALLS:
                return f"calls {node.func.id}"
            if isinstance(node.func, ast.Attribute) and node.func.attr in _CLOCK:
                return "reads the clock"
    return None


def outside_of_question(question: str) -> str | None:
    """What a question speaks of that is not there when its tests run; None for nothing."""
    if _URL.search(question):
        return "names an address"
    if match := _WORDS.search(question):
        return f"speaks of {match[0].lower()!r}"
    return None
