"""What a Java source declares: javac wants a public class in a file of its name, and `java` the class with `main`."""

import re
from dataclasses import dataclass

# One token, whatever the source holds: no two alternatives can begin alike and both go far, so it takes linear time.
_TOKENS = re.compile(
    r"""//[^\n]*|/\*.*?(?:\*/|\Z)|\"{3}.*?(?:\"{3}|\Z)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|[A-Za-z_$][\w$]*|[{}().;]""",
    re.DOTALL,
)
_TYPES = frozenset(("class", "interface", "enum", "record"))
_DEFAULT = "Main"


@dataclass(frozen=True)
class Declared:
    """file_name: what javac wants the source to be called. main_class: with its package, for `java`."""

    file_name: str
    main_class: str


def declared(source: str) -> Declared:
    """What is in a source; `Main` where nothing is found."""
    package: list[str] = []
    public = ""
    mains: list[str] = []
    current = ""
    depth = 0
    recent: list[str] = []  # tokens of the declaration so far
    for found in _TOKENS.finditer(source):
        token = found.group()
        if token[0] in "/\"'":
            continue
        if token == "{":
            depth += 1
            recent.clear()
        elif token == "}":
            depth = max(0, depth - 1)
            recent.clear()
        elif token == ";":
            if depth == 0 and recent[:1] == ["package"]:
                package = [word for word in recent[1:] if word != "."]
            recent.clear()
        else:
            if depth == 0 and recent and recent[-1] in _TYPES:
                current = token
                if "public" in recent:
                    public = token
            elif depth == 1 and token == "(" and recent[-1:] == ["main"] and "static" in recent and current:
                mains.append(current)
            if len(recent) < 64:
                recent.append(token)
    main = public if public in mains else (_DEFAULT if _DEFAULT in mains else next(iter(mains), public or _DEFAULT))
    return Declared(f"{public or main}.java", ".".join([*package, main]))
