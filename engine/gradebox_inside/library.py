"""What both sides have: modules, functions and classes of the standard library, which travel by name.

A test that uses the program's `math` gets the oracle's own `math`. The oracle only resolves what is in the lists
here, so that a program cannot make it run `os.system`, and never takes an exception class of a test framework from
the program: a program that raised unittest's SkipTest would skip the tests that it fails.
"""

from __future__ import annotations

import builtins
import sys

from gradebox_inside.values import type_key

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Modules whose functions and classes the oracle uses in place of the program's.
_PURE = frozenset(
    "math cmath re string itertools functools collections collections.abc operator random statistics datetime"
    " decimal fractions copy heapq bisect typing time json calendar textwrap numbers enum types abc dataclasses"
    " struct base64 hashlib binascii zlib html unicodedata uuid keyword array numpy".split()
)
# Modules that a test may reach by a name of the program.
_MODULES = _PURE | frozenset(
    "os os.path posixpath sys io shutil tempfile pathlib csv glob pickle logging threading subprocess socket urllib"
    " urllib.parse urllib.request warnings traceback inspect contextlib asyncio queue secrets sqlite3 zipfile tarfile"
    " gzip bz2 lzma configparser argparse platform getpass xml xml.etree xml.etree.ElementTree xml.dom.minidom"
    " xml.dom errno signal select ssl smtplib ftplib http http.client http.server http.cookies email"
    " email.mime.text email.mime.multipart difflib pprint ast weakref gc locale codecs fnmatch stat mimetypes"
    " concurrent concurrent.futures multiprocessing sched timeit ctypes".split()
)
_REFUSED_BUILTINS = frozenset(
    "eval exec compile __import__ open input globals locals vars setattr delattr exit quit breakpoint help getattr"
    " super print".split()
)
_TEST_FRAMEWORKS = ("unittest", "pytest", "_pytest", "doctest", "mock", "gradebox_inside")


def _own(module: str, name: str = "") -> Callable[[], Any]:
    def find() -> Any:
        found = trusted_module(module)
        return getattr(found, name) if name else found

    return find


# What tests check answers with. A test that does not import them itself relies on the program's import; where the
# program has some object of its own under the name, the test still gets the real one.
CHECKING_NAMES: dict[str, Callable[[], Any]] = {
    name: _own(name)
    for name in (
        "os sys re json math cmath itertools functools collections operator statistics datetime decimal fractions"
        " copy time random tempfile shutil pathlib glob csv io hashlib base64 struct uuid pickle inspect types"
    ).split()
} | {"isclose": _own("math", "isclose"), "deepcopy": _own("copy", "deepcopy")}


def library_name(value: Any) -> str:
    """ "module:qualified.name" by which the other side finds the same function or class, or ""."""
    if isinstance(value, type):
        module, name = type_key(value)
    else:
        module = getattr(value, "__module__", None) or ""
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or ""
    if type(module) is not str or type(name) is not str or not is_standard(module):
        return ""
    return f"{module}:{name}" if _find(module, name) is value else ""


def is_standard(module: str) -> bool:
    """Whether the name is one of a module of the standard library."""
    return module.partition(".")[0] in sys.stdlib_module_names or module == "numpy"


def module_name(module: Any) -> str:
    """The name under which a module of the standard library is loaded, or ""."""
    name = getattr(module, "__name__", "")
    if type(name) is not str:
        return ""
    if name == "posixpath":
        return "os.path"
    return name if is_standard(name) and sys.modules.get(name) is module else ""


def _find(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        if found is None:
            return None
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found


def trusted_module(name: str) -> Any:
    """The oracle's own module of that name, or None where it may not be used by name."""
    if name not in _MODULES:
        return None
    try:
        __import__(name)
    except ImportError:
        return None
    return sys.modules.get(name)


def trusted_object(name: str) -> Any:
    """The oracle's own function or class for a library name, or None."""
    module, _, path = name.partition(":")
    if not path or module.partition(".")[0] in _TEST_FRAMEWORKS:
        return None
    if module == "builtins":
        return None if path in _REFUSED_BUILTINS else vars(builtins).get(path)
    if module in _PURE or module in ("_operator", "_functools", "_collections", "_random", "_heapq", "_bisect"):
        trusted_module(module.lstrip("_"))
        found = _find(module, path)
        return found if isinstance(found, type) or callable(found) else None
    # A class of some other module serves isinstance() and `except`; it is not imported for that.
    found = _find(module, path)
    return found if isinstance(found, type) else None


def any_module(name: str) -> Any:
    """The program's own module of that name."""
    try:
        __import__(name)
    except ImportError:
        return None
    return sys.modules.get(name)


def any_object(name: str) -> Any:
    """The program's own function or class for a library name that the test passed."""
    module, _, path = name.partition(":")
    return _find(module, path) if any_module(module) is not None else None
