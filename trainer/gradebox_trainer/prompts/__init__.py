"""Prompts, our own, each in a file: a Jinja template with a block for each role, in the order of the conversation."""

from collections.abc import Mapping
from functools import lru_cache
from importlib import resources

import jinja2


@lru_cache
def _template(name: str) -> jinja2.Template:
    text = (resources.files(__name__) / f"{name}.jinja").read_text()
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text)


def conversation(name: str, **values: object) -> tuple[Mapping[str, str], ...]:
    """The messages of a prompt. Values are put in as they are, and none of them can speak in another role."""
    template = _template(name)
    messages = []
    for role, block in template.blocks.items():
        content = "".join(block(template.new_context(values))).strip()
        messages.append({"role": role, "content": content})
    return tuple(messages)
