"""joblib's own format, for what joblib writes best and for programs that read its files."""

from __future__ import annotations

import io
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
    "lz4") or a pair (method, level). What was stored with another one is read all the same.
    """

    name = "joblib"
    suffix = ".joblib"

    def __init__(self, compress: int | str | tuple[str, int] = 0) -> None:
        import joblib

        try:
            joblib.dump(None, io.BytesIO(), compress=compress)  # joblib itself says what it takes
        except (ValueError, TypeError) as error:
            raise OptionError(f"Joblib(compress={compress!r}): {error}") from error
        self.compress = compress

    def __repr__(self) -> str:
        return f"Joblib(compress={self.compress!r})"

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

        return joblib.load(reader(data), ensure_native_byte_order=False)
