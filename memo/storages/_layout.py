"""Where in a folder the files of an entry lie, and which entry a file is of.

``<folder>/<scope>/<version>/_<2 letters>/<last component>...``: the folders of two letters keep any of them from growing too
large to be listed, and names that begin with ``_`` are in no entry's name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ._entry_file import checked, name_of, stem_of


class Layout:
    """The layout below a folder; ``new`` is the folder of what is not in its place yet."""

    def __init__(self, folder: str) -> None:
        self.folder, self.new = folder, os.path.join(folder, "_new")
        self._folders: dict[str, str] = {}

    def path(self, name: str) -> str:
        """Where the entry lies, without suffix."""
        prefix, _, last = name.rpartition("/")
        folder = self._folders.get(prefix) or self._folder(prefix)
        stem = stem_of(last)
        return f"{folder}/_{stem[:2]}/{stem}"

    def _folder(self, prefix: str) -> str:
        folder = self._folders[prefix] = os.path.join(self.folder, *map(checked, prefix.split("/")))
        return folder

    def name(self, folder: str, file: str) -> str:
        """The entry's name, from where its file lies."""
        above = os.path.relpath(os.path.dirname(folder), self.folder).replace(os.sep, "/")
        return f"{above}/{name_of(file)}"

    def walk(self, prefix: str = "", since: float = 0.0) -> Iterator[tuple[str, str]]:
        """(folder, file) of everything under a prefix of names.

        ``since``: only from folders in which something came or went after that, in seconds since the epoch.
        """
        above = [checked(component) for component in prefix.split("/")] if prefix else []
        return _walk(os.path.join(self.folder, *above), len(above), since)


def _walk(folder: str, level: int, since: float) -> Iterator[tuple[str, str]]:
    """``level``: for how many components of names the folder stands."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if level and entry.name[0] == "_":
            try:
                if since > 0 and entry.stat(follow_symlinks=False).st_mtime < since:
                    continue
                files = os.listdir(entry.path)
            except (FileNotFoundError, NotADirectoryError):
                continue
            yield from ((entry.path, file) for file in files)
        elif level < 2 and entry.name[0] != "_" and entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, level + 1, since)
