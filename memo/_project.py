"""The project that a file belongs to: its root, and what ``[tool.memo]`` of its pyproject.toml says.

Both the default place and the default mode ask, of any file and often, so each folder is looked at once a process.
"""

from __future__ import annotations

import os

_FILES = ("pyproject.toml", "setup.py", ".git")
_KEYS = ("location", "mode")

_roots: dict[str, str] = {}
_tables: dict[str, dict[str, str]] = {}


def project_root(start: str | None) -> str:
    """The nearest folder at or above a file or folder with pyproject.toml, setup.py or .git; else that folder itself."""
    try:
        path = os.path.realpath(start or os.getcwd())
    except (OSError, ValueError):  # the working directory is gone; a name with NUL
        return os.path.abspath(os.sep)
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    root = _roots.get(folder)
    if root is None:
        root = above = folder
        while not any(os.path.lexists(os.path.join(above, name)) for name in _FILES):
            parent = os.path.dirname(above)
            if parent == above:
                break
            above = parent
        else:
            root = above
        _roots[folder] = root
    return root


def project_name(root: str) -> str:
    """A name for people, and 8 hex of the path so that two projects of one name stay apart."""
    from blake3 import blake3

    fit = (
        letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "-"
        for letter in os.path.basename(root)
    )
    name = "".join(fit).strip("-.")[:40] or "root"
    return f"{name}-{blake3(os.fsencode(root)).hexdigest(4)}"


def project_table(start: str | None) -> tuple[dict[str, str], str]:
    """``[tool.memo]`` of the project that a file belongs to, and the path of its pyproject.toml.

    Only known keys with text for a value; whatever else is there costs one warning, never an exception.
    """
    root = project_root(start)
    file = os.path.join(root, "pyproject.toml")
    if root not in _tables:
        _tables[root] = _read_table(file)
    return _tables[root], file


def _read_table(file: str) -> dict[str, str]:
    try:
        with open(file, "rb") as opened:
            content = opened.read()
    except OSError:
        return {}
    if b"memo" not in content:  # most projects say nothing: tomllib need not be loaded
        return {}
    import tomllib

    from .events import warn_once

    try:
        table = tomllib.loads(content.decode("utf-8")).get("tool", {}).get("memo", {})
        wrong = [f"{key} = {table[key]!r}" for key in table if key not in _KEYS or not isinstance(table[key], str)]
    except (ValueError, AttributeError, TypeError) as error:
        warn_once(file, f"{file} is ignored by memo: no valid TOML with a table [tool.memo]: {error}")
        return {}
    if wrong:
        expected = f"expected {' or '.join(_KEYS)}, each a text"
        warn_once(f"{file} [tool.memo]", f"{file}: ignored in [tool.memo]: {', '.join(wrong)}; {expected}")
    return {key: table[key] for key in _KEYS if isinstance(table.get(key), str)}
