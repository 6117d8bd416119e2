"""joblib's own format, for what joblib writes best and for programs that read its files.

joblib maps arrays only from a path, and a storage hands over memory: a file that it has mapped already, privately. So
memo looks up joblib's place-holder for an array itself and lays the array into that memory: what ``mmap_mode="c"`` of
``joblib.load`` would give, as plain arrays. That reaches into joblib; where a later joblib has no such place-holder any
more, its own ``load`` makes copies.
"""

from __future__ import annotations

import io
from functools import cache
from pickle import PicklingError
from typing import Any

from memo.errors import OptionError, UnstorableError

from ._reader import reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.model import Buffer


class Joblib:
    """``joblib.dump`` and ``joblib.load``; files of the storage "files" open with ``joblib.load(path)``.

    ``compress`` is joblib's: 0 for none, a level from 1 to 9, True, a method ("zlib", "gzip", "bz2", "lzma", "xz",
    "lz4") or a pair (method, level). What was stored with another one is read all the same. ``mmap``: arrays that were
    not compressed lie in the storage's mapped file, copy-on-write, where it has one (bodies from 256 KB in files, also
    those beside the default database); False makes copies.
    """

    name = "joblib"
    suffix = ".joblib"

    def __init__(self, compress: int | str | tuple[str, int] = 0, *, mmap: bool = True) -> None:
        import joblib

        try:
            joblib.dump(None, io.BytesIO(), compress=compress)  # joblib itself says what it takes
        except (ValueError, TypeError) as error:
            raise OptionError(f"Joblib(compress={compress!r}): {error}") from error
        if not isinstance(mmap, bool):
            raise OptionError(
                f"Joblib(mmap=...) must be True or False; got {mmap!r}. What is mapped is never written back"
            )
        self.compress, self.mmap = compress, mmap

    def __repr__(self) -> str:
        return f"Joblib(compress={self.compress!r}, mmap={self.mmap!r})"

    def dump(self, value: Any, /) -> list[Buffer]:
        import joblib

        file = io.BytesIO()
        try:
            joblib.dump(value, file, compress=self.compress, protocol=5)
        except (PicklingError, AttributeError, TypeError) as error:
            raise UnstorableError(f"joblib can't store a {type(value).__name__}: {error}") from error
        return [file.getbuffer().toreadonly()]

    def load(self, data: memoryview, /) -> Any:
        import joblib

        file = reader(data)
        if self.mmap and not data.readonly and data[0] == 0x80 and (unpickler := _unpickler()):
            return unpickler(data, file).load()
        return joblib.load(file, ensure_native_byte_order=False)


@cache
def _unpickler() -> Any:
    try:
        from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler

        read_array = NumpyArrayWrapper.read_array
    except (ImportError, AttributeError):
        return None

    class InMemory(NumpyArrayWrapper):  # type: ignore[misc]
        def read_array(self, unpickler: Any, *options: Any) -> Any:
            if self.dtype.hasobject:
                return read_array(self, unpickler, *options)
            file = unpickler.file_handle
            if self.safe_get_numpy_array_alignment_bytes() is not None:
                file.read(file.read(1)[0])  # what aligns it, and how much that is
            array = unpickler.np.ndarray(self.shape, self.dtype, unpickler.data, file.tell(), order=self.order)
            file.seek(file.tell() + array.nbytes)
            return array

    class Mapping(NumpyUnpickler):  # type: ignore[misc]
        def __init__(self, data: memoryview, file: Any) -> None:
            super().__init__("", file, False)
            self.data = data

        def find_class(self, module: str, name: str) -> Any:
            if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
                return InMemory
            return super().find_class(module, name)

    return Mapping
