"""Arrays as .npy, dicts, tuples and lists of arrays as .npz: what ``numpy.load`` opens, with no code in the data.

Array data starts at multiples of 64 in both (in the zip file by a field of padding in each local header), so that a
mapped file is the loaded array. Formats: NEP 1; APPNOTE.TXT of PKWARE, stored members only. A zip comment says which of
dict, tuple and list it was.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

from memo.errors import DamagedError, UnstorableError

from ._reader import reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.model import Buffer

_KINDS: dict[bytes, type] = {b"dict": dict, b"tuple": tuple, b"list": list}
_DTYPES = "?biufcmMSUV"  # those that .npy describes; it would pickle others
_LOCAL = 30  # bytes of a local file header before name and extra fields
_ZIP64 = 20  # bytes of the extra field that zipfile writes for members of any size
_PADDING = b"me"  # id of the extra field that aligns; readers skip fields that they do not know


class Numpy:
    """Arrays of numbers, texts, times and records, and flat dicts (keys: str), tuples and lists of them.

    ``dump`` raises UnstorableError for object arrays, for subclasses of ndarray, and for everything else.
    """

    name = "numpy"
    safe = True
    suffix = ".npy"

    def dump(self, value: Any, /) -> list[Buffer]:
        if type(value) not in _KINDS.values():
            return _npy(value, "value")
        if type(value) is dict:
            return _npz(value, b"dict")
        return _npz({f"arr_{index}": item for index, item in enumerate(value)}, type(value).__name__.encode())

    def load(self, data: memoryview, /) -> Any:
        if bytes(data[:2]) != b"PK":
            return _array(data)
        with zipfile.ZipFile(reader(data)) as file:
            kind = _KINDS[file.comment]
            found = {member.filename.removesuffix(".npy"): _member(data, member) for member in file.infolist()}
        return found if kind is dict else kind(found.values())


def _npy(array: Any, path: str) -> list[Buffer]:
    import numpy
    from numpy.lib import format

    if type(array) is not numpy.ndarray:
        raise UnstorableError(f"serializer='numpy' stores arrays; {path} is of type {type(array).__name__}")
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        array = numpy.ascontiguousarray(array)
    dtype, head = array.dtype, io.BytesIO()
    if dtype.kind in _DTYPES and not dtype.hasobject and repr(as_read(dtype)) == repr(dtype):
        try:
            format.write_array_header_1_0(head, format.header_data_from_array_1_0(array))
        except ValueError:  # a record with names that are not Latin-1, or too many of them
            pass
        else:
            return [head.getvalue(), memoryview(array.ravel("K").view("u1"))] if array.nbytes else [head.getvalue()]
    raise UnstorableError(f"serializer='numpy' can't store the dtype of {path}, {dtype}; use serializer='pickle'")


def as_read(dtype: Any) -> Any:
    """What the dtype would come back as: a record's alignment is lost, for one."""
    from numpy.lib import format

    return format.descr_to_dtype(format.dtype_to_descr(dtype))


def _array(data: memoryview) -> Any:
    import numpy
    from numpy.lib import format

    head = io.BytesIO(data[: 10 + 0xFFFF])  # all that a header of version 1 can be
    if format.read_magic(head) != (1, 0):
        raise DamagedError("an array in a version of .npy that serializer='numpy' never writes")
    shape, fortran, dtype = format.read_array_header_1_0(head)
    if dtype.hasobject:
        raise DamagedError("an array of objects, which serializer='numpy' never writes")
    array = numpy.ndarray(shape, dtype, data, head.tell(), order="F" if fortran else "C")
    return array.copy(order="K") if data.readonly else array


class _Parts(list["Buffer"]):
    """What zipfile writes, as it is."""

    def write(self, part: Any, /) -> int:
        self.append(part)
        return len(part)

    def flush(self) -> None:
        pass


def _npz(arrays: dict[str, Any], kind: bytes) -> list[Buffer]:
    parts = _Parts()
    with zipfile.ZipFile(parts, "w") as file:  # type: ignore[call-overload]
        for key, array in arrays.items():
            if type(key) is not str or not key.isprintable():
                raise UnstorableError(f"serializer='numpy' takes printable str as keys; got {key!r}")
            member = zipfile.ZipInfo(f"{key}.npy")
            bare = sum(map(len, parts)) + _LOCAL + len(member.filename.encode()) + _ZIP64 + 4
            padding = -bare % 64
            member.extra = _PADDING + padding.to_bytes(2, "little") + bytes(padding)
            contents = _npy(array, f"value[{key!r}]")
            with file.open(member, "w", force_zip64=True) as stream:
                for part in contents:
                    stream.write(part)
        file.comment = kind
    return parts


def _member(data: memoryview, member: zipfile.ZipInfo) -> Any:
    at = member.header_offset
    names = int.from_bytes(data[at + 26 : at + 28], "little") + int.from_bytes(data[at + 28 : at + 30], "little")
    start = at + _LOCAL + names
    return _array(data[start : start + member.file_size])
