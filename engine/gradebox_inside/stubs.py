"""Stands for a test's function in the program's process: a real function with the same parameters.

Programs look at the functions that they are given (`inspect.signature`, `isinstance(f, types.LambdaType)`,
`f.__code__.co_argcount`), so a proxy object would not do. What the function's body does stays in the oracle.
"""

from __future__ import annotations

import builtins
import types

from gradebox_inside.values import CodecError

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_VAR_POSITIONAL, _VAR_NAMED, _COROUTINE = 4, 8, 128  # bits of co_flags
_MAX_PARAMETERS = 255
_templates: dict[tuple[Any, ...], types.CodeType] = {}
_TEMPLATES_KEPT = 256


def signature_of(function: types.FunctionType) -> dict[str, Any]:
    """Plain data (and values to be proxied) from which `stub` makes a function with the same signature."""
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    flags = code.co_flags
    count += bool(flags & _VAR_POSITIONAL) + bool(flags & _VAR_NAMED)
    kinds = flags & (_VAR_POSITIONAL | _VAR_NAMED | _COROUTINE)
    return {
        "k": "def",
        "name": function.__name__,
        "qual": function.__qualname__,
        "doc": function.__doc__,
        "shape": (code.co_posonlyargcount, code.co_argcount, code.co_kwonlyargcount, kinds, code.co_varnames[:count]),
        "defaults": function.__defaults__,
        "named_defaults": function.__kwdefaults__,
        "annotations": dict(function.__annotations__),
    }


def stub(signature: dict[str, Any], call: Callable[[tuple[Any, ...], dict[str, Any]], Any]) -> types.FunctionType:
    """A function of that signature whose calls are `call(arguments, named arguments)`. Raises CodecError."""
    shape = signature["shape"]
    code = _templates.get(shape)
    if code is None:
        if len(_templates) >= _TEMPLATES_KEPT:
            _templates.clear()
        code = _templates[shape] = _template(*shape)
    name = signature["name"]
    code = code.replace(co_name=name, co_qualname=signature["qual"])
    scope = {"__name__": "test_program", "__builtins__": vars(builtins), "_call": call}
    function = types.FunctionType(code, scope, name, signature["defaults"])
    function.__kwdefaults__ = signature["named_defaults"]
    function.__annotations__ = signature["annotations"]
    function.__doc__ = signature["doc"]
    return function


def _template(positional_only: int, positional: int, named: int, kinds: int, names: tuple[str, ...]) -> types.CodeType:
    if len(names) > _MAX_PARAMETERS or not all(type(n) is str and n.isidentifier() for n in names):
        raise CodecError("parameters")
    rest = [*names[positional + named :]]
    parameters = [*names[:positional]]
    passed = [*parameters]
    if positional_only:
        parameters.insert(positional_only, "/")
    if kinds & _VAR_POSITIONAL:
        starred = rest.pop(0)
        parameters.append(f"*{starred}")
        passed.append(f"*{starred}")
    elif named:
        parameters.append("*")
    parameters += names[positional : positional + named]
    by_name = [f"{n!r}: {n}" for n in names[positional : positional + named]]
    if kinds & _VAR_NAMED:
        parameters.append(f"**{rest[0]}")
        by_name.append(f"**{rest[0]}")
    arguments = "".join(f"{p}, " for p in passed)
    is_async = kinds & _COROUTINE
    source = (
        f"{'async ' if is_async else ''}def _stub({', '.join(parameters)}):\n"
        f"    return {'await ' if is_async else ''}_call(({arguments}), {{{', '.join(by_name)}}})\n"
    )
    scope: dict[str, Any] = {}
    exec(compile(source, "<test>", "exec", dont_inherit=True), scope)
    code: types.CodeType = scope["_stub"].__code__
    return code
