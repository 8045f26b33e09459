"""Names that strangers choose."""

import re

_FILE = re.compile(r"[\w$+-][\w$.+-]{0,200}(?:/[\w$+-][\w$.+-]{0,200}){0,20}", re.ASCII)


def is_file_name(name: object) -> bool:
    """Whether this can be a file's name below a folder: relative, no way up, nothing hidden, of ordinary characters."""
    return isinstance(name, str) and len(name) <= 1000 and _FILE.fullmatch(name) is not None
