"""HDF5 files in memory, through h5py or through PyTables, by one thread of the process at a time.

libhdf5 is not made for threads. h5py takes a lock of its own, PyTables and pandas take none, and where both libraries
share one libhdf5 (conda, Debian) each can crash or deadlock the other (h5py #2128, PyTables #957). So whatever memo does
with either happens under one lock, and under that of h5py too where h5py is loaded.

Files are images in memory (the "core" driver): memo itself reads and writes the disk. So no file is ever half written
or locked by HDF5, and no code of Python runs inside the library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from threading import RLock
from typing import Any

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_GROWTH = 1 << 20  #: bytes by which an image grows
_PAGE = 4096  #: where large arrays begin

_lock = RLock()
_after_h5py = False


def _hold_over_forks() -> None:
    # A child of a fork in the middle of a call would find the library's state torn, and its locks taken for ever.
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


_hold_over_forks()


@contextmanager
def alone() -> Iterator[None]:
    """Nobody else in memo is in libhdf5, nor anybody in h5py."""
    global _after_h5py
    with _lock:
        phil = getattr(sys.modules.get("h5py._objects"), "phil", None)
        if phil is None:
            yield
            return
        if not _after_h5py:  # h5py holds its lock over forks as well: ours must be taken before that, as it is here
            _hold_over_forks()
            _after_h5py = True
        with phil:
            yield


def need(module: str, extra: str) -> None:
    """Raises ImportError, with the line that helps, where a library is not installed. Imports nothing."""
    if sys.modules.get(module) is None and find_spec(module) is None:
        raise ImportError(f'{module} is not installed: pip install "memo-persist[{extra}]"')


@contextmanager
def h5py_file(image: Any = None) -> Iterator[Any]:
    """A new h5py.File, or that of an image, which stays as it is; ``file.id.get_file_image()`` is what became of it."""
    import h5py
    from h5py import h5f, h5p

    with alone():
        access = h5p.create(h5p.FILE_ACCESS)
        access.set_fclose_degree(h5f.CLOSE_STRONG)
        access.set_fapl_core(_GROWTH, False)
        access.set_alignment(4 * _PAGE, _PAGE)
        access.set_libver_bounds(h5f.LIBVER_EARLIEST, h5f.LIBVER_LATEST)
        name = os.urandom(16).hex().encode()  # two open images of one name would be one
        if image is None:
            opened = h5f.create(name, h5f.ACC_EXCL, fapl=access)
        else:
            access.set_file_image(image)
            opened = h5f.open(name, h5f.ACC_RDWR, fapl=access)
        with h5py.File(opened) as file:
            yield file


@contextmanager
def tables_file(image: bytes | None = None) -> Iterator[Any]:
    """A new tables.File, or that of an image, which stays as it is; ``file.get_file_image()`` is what became of it.

    PyTables unpickles what looks like a pickle in the attributes of each node that it opens: only for images that this
    process has made.
    """
    import tables

    with alone():
        core = {"driver": "H5FD_CORE", "driver_core_backing_store": 0, "driver_core_increment": _GROWTH}
        if image is not None:
            core["driver_core_image"] = image
        with tables.open_file(os.urandom(16).hex(), "w" if image is None else "a", **core) as file:
            yield file
