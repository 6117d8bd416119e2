"""Each entry an HDF5 file made by PyTables."""

from __future__ import annotations

import os
from typing import Any

from .._libhdf5 import need, tables_file
from ._hdf5_entry import Hdf5Files


class Pytables(Hdf5Files):
    """Entries as HDF5 files under ``folder``; nothing is made before the first write.

    Arrays stored by ``serializer="pytables"`` are arrays of those files. Options and errors as those of ``Files``; raises
    ImportError without PyTables.
    """

    def __init__(self, folder: str | os.PathLike[str], *, map_from: int = 256 * 1024, durable: bool = False) -> None:
        need("tables", "pytables")
        super().__init__(folder, map_from=map_from, durable=durable)

    def _image(self, body: bytes, attributes: dict[str, Any], whole: bool) -> bytes:
        import numpy

        with tables_file(body if whole else None) as file:
            if body and not whole:
                file.create_array("/", "body", obj=numpy.frombuffer(body, "u1"))
            for name, value in attributes.items():
                file.set_node_attr("/", name, value)
            return file.get_file_image()  # type: ignore[no-any-return]
