"""Files that Python opens, as they are opened: an audit hook, installed once, when somebody first wants to know.

The decision: what counts is what the file held right then, so it is read at once; what a run wrote itself is no
dependency of it. What Python opens for its own sake (modules, caches of memo) is left out: code counts elsewhere.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_installed = False


def listen() -> None:
    """From now on `_heard` is told. A hook can't be taken off again; without a run to note it looks at one variable."""
    global _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_heard)


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open":
        return
    from ._touched import TRACES

    traces = TRACES.get()
    if not traces:
        return
    outer = TRACES.set(())  # reading it opens it
    try:
        path, mode, flags = arguments
        if isinstance(path, int) or path is None:
            return
        name = os.fsdecode(path)
        wrote = (isinstance(mode, str) and any(sign in mode for sign in "wax+")) or (
            isinstance(flags, int) and bool(flags & _WRITES)
        )
        for trace in traces:
            if trace.names is None:
                trace.opened(name, wrote)
    except Exception:  # whatever it is, opening the file goes on
        return
    finally:
        TRACES.reset(outer)


def is_pythons_own(path: str) -> bool:
    """Whether it is of an installation, a module that is loaded, a device, or of a place of memo."""
    from ._opened import places

    path = os.path.abspath(path)
    if path.endswith(".pyc") or path.startswith(("/proc/", "/dev/", "/sys/")):
        return True
    above = {sys.prefix, sys.base_prefix, *places()}
    if any(path.startswith(os.path.join(folder, "")) for folder in above if folder and folder != os.sep):
        return True
    return path.endswith(".py") and any(getattr(one, "__file__", None) == path for one in list(sys.modules.values()))
