"""Each entry an HDF5 file made by h5py."""

from __future__ import annotations

import os
from typing import Any

from .._libhdf5 import h5py_file, need
from ._hdf5_entry import Hdf5Files


class Hdf5(Hdf5Files):
    """Entries as HDF5 files under ``folder``; nothing is made before the first write.

    Arrays stored by ``serializer="hdf5"`` are datasets of those files. Options and errors as those of ``Files``; raises
    ImportError without h5py.
    """

    def __init__(self, folder: str | os.PathLike[str], *, map_from: int = 256 * 1024, durable: bool = False) -> None:
        need("h5py", "hdf5")
        super().__init__(folder, map_from=map_from, durable=durable)

    def _image(self, body: bytes, attributes: dict[str, Any], whole: bool) -> bytes:
        import numpy

        with h5py_file(body if whole else None) as file:
            if body and not whole:
                file.create_dataset("body", data=numpy.frombuffer(body, "u1"))
            file.attrs.update(attributes)
            file.flush()
            return file.id.get_file_image()  # type: ignore[no-any-return]
