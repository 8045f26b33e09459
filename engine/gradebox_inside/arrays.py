"""numpy arrays and scalars. Imported only where a value of numpy turns up.

Written as kind, dtype, shape and raw little-endian bytes, and only for the fixed-size numeric dtypes below; other
arrays are not plain. Where numpy is not loaded (outside the jail, for one) they decode to stand-ins that
cannot be asked for anything: a scalar keeps its value as `base`.
"""

from __future__ import annotations

import builtins
import sys
from struct import unpack

from gradebox_inside.values import NO_BASE, CodecError, Opaque, OverBudget, library_type, type_key

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# dtype → (bytes of an element, struct code; "" where struct has none)
_DTYPES = {
    "bool": (1, "?"),
    "int8": (1, "b"),
    "int16": (2, "h"),
    "int32": (4, "i"),
    "int64": (8, "q"),
    "uint8": (1, "B"),
    "uint16": (2, "H"),
    "uint32": (4, "I"),
    "uint64": (8, "Q"),
    "float16": (2, "e"),
    "float32": (4, "f"),
    "float64": (8, "d"),
    "complex64": (8, ""),
    "complex128": (16, ""),
}
_MAX_DIMENSIONS = 32
_MAX_LENGTH = (1 << 31) - 1  # along one dimension: with another one of 0 there are no bytes that would bound it


def put_numpy(v: Any, out: bytearray, depth: int, st: Any) -> None:
    """Writes an ndarray or a scalar of a numeric dtype; anything else of numpy goes the way of objects."""
    from gradebox_inside import encode

    numpy = sys.modules["numpy"]
    kind = type(v)
    is_array = kind is numpy.ndarray
    if (not is_array and library_type(*type_key(kind)) is not kind) or not hasattr(v, "dtype"):
        encode._put_opaque(v, out, depth, st)
        return
    dtype = str(v.dtype)
    if dtype not in _DTYPES or not (is_array or isinstance(v, numpy.generic)):
        encode._put_opaque(v, out, depth, st)
        return
    if v.nbytes + len(out) > st.limit:
        raise OverBudget("bytes")
    st.nodes -= v.size + 1
    if st.nodes < 0:
        raise OverBudget("nodes")
    out += b"n"
    encode._put_str("ndarray" if is_array else "scalar", out, depth, st)
    encode._put_str(dtype, out, depth, st)
    encode._put_tuple(tuple(int(n) for n in v.shape), out, depth, st)
    encode._put_bytes(v.tobytes(), out, depth, st)


def get_numpy(kind: str, dtype: str, shape: tuple[Any, ...], raw: bytes) -> Any:
    """The array or scalar, or a stand-in for it where numpy is not loaded. Raises CodecError."""
    if dtype not in _DTYPES or len(shape) > _MAX_DIMENSIONS or kind not in ("ndarray", "scalar"):
        raise CodecError("numpy value")
    size, code = _DTYPES[dtype]
    count = 1
    for n in shape:
        if type(n) is not int or not 0 <= n <= _MAX_LENGTH:
            raise CodecError("shape")
        count *= n
    if count * size != len(raw) or (kind == "scalar" and shape):
        raise CodecError("shape")
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        array = numpy.frombuffer(raw, dtype=dtype).reshape(shape) if raw else numpy.empty(shape, dtype)
        return array.copy() if kind == "ndarray" else array[()]
    if kind == "ndarray":
        return Opaque(-1, "numpy.ndarray")
    base: Any = NO_BASE
    if code:
        (base,) = unpack("<" + code, raw)
    else:
        base = complex(*unpack("<ff" if size == 8 else "<dd", raw))
    return Opaque(-1, f"numpy.{dtype}", bool(base), base)
