"""Where the project ends: which modules are followed, and which count by the version of their distribution.

Project code lies outside the standard library and site-packages; besides, wherever it lies, the function's own
distribution and each one installed from a folder or a repository (``direct_url.json`` says so). The working directory
plays no part: it would make one program blind when it is started from another folder.

Distributions are found by the names of their ``dist-info`` folders, which hold name and version: ``importlib.metadata``
takes 20 ms to import and reads every installed file list to answer the same question.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType

from .._tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_MEMO = __name__.partition(".")[0]
_STDLIB = os.path.dirname(os.path.realpath(os.__file__)) + os.sep
_INSTALLED = ("site-packages", "dist-packages")


class Distribution(NamedTuple):
    name: str
    version: str
    folder: str  #: its dist-info folder or egg-info file

    @property
    def is_local(self) -> bool:
        """Installed from a folder or a repository: its code is somebody's project."""
        try:
            with open(os.path.join(self.folder, "direct_url.json"), "rb") as file:
                text = file.read()
        except OSError:
            return False
        return b'"dir_info"' in text or b'"vcs_info"' in text


_real: dict[str, str] = {}
_sites: dict[str, tuple[float, list[Distribution]]] = {}
_of_file: dict[tuple[str, str], Distribution | None] = {}
_local: dict[str, bool] = {}
_compiled: dict[str, str] = {}  #: by path; what is loaded stays loaded
_packages: dict[str, tuple[Any, tuple[str, str] | None]] = {}


def is_memo(name: str) -> bool:
    return name == _MEMO or name.startswith(_MEMO + ".")


def _module(module: str) -> ModuleType | None:
    found = sys.modules.get(module)
    return found if isinstance(found, ModuleType) else None


def file_of(namespace: dict[str, Any]) -> str:
    """The file that a module's dictionary came from, links resolved; "" when it came from none."""
    path = namespace.get("__file__")
    if not isinstance(path, str):
        return ""
    found = _real.get(path)
    if found is None:
        found = _real[path] = os.path.realpath(path)
    return found


def _site(path: str) -> tuple[str, str] | None:
    """(site-packages folder, path below it) for a file that lies in one."""
    for name in _INSTALLED:
        before, found, rest = path.rpartition(os.sep + name + os.sep)
        if found:
            return before + os.sep + name, rest
    return None


def is_stdlib(name: str, path: str) -> bool:
    if not path:
        return name.partition(".")[0] in sys.stdlib_module_names
    return path.startswith(_STDLIB) and _site(path) is None


def is_project(namespace: dict[str, Any] | ModuleType | str, home: str = "") -> bool:
    """Whether a module (itself, its dictionary or its name) is followed into; ``home``: the function's own distribution."""
    if isinstance(namespace, str):
        module = _module(namespace)
        if module is None:
            return namespace.partition(".")[0] not in sys.stdlib_module_names
        namespace = module
    if isinstance(namespace, ModuleType):
        namespace = vars(namespace)
    name = namespace.get("__name__")
    if not isinstance(name, str):
        return True  # made by exec in a bare dictionary: by nobody but the project
    if is_memo(name) or name.startswith("_cython_"):  # where Cython keeps what its modules share
        return False
    path = file_of(namespace)
    if not path:
        if name == "builtins" or name in sys.builtin_module_names:
            return False
        spec = namespace.get("__spec__")
        origin = getattr(spec, "origin", None)
        if origin in ("built-in", "frozen"):
            return False
        locations = getattr(spec, "submodule_search_locations", None)
        for folder in locations or ():  # a package without __init__: where its folders lie
            return is_project_file(os.path.realpath(os.path.join(folder, "_")), home)
        return name == "__main__" or not is_stdlib(name, "")
    return is_project_file(path, home)


def compiled(module: object) -> str:
    """The digest of the file of a compiled module of the project; "" for any other."""
    found = _module(module) if isinstance(module, str) else None
    if found is None or not file_of(vars(found)).endswith((".so", ".pyd", ".dylib")) or not is_project(found):
        return ""
    path = file_of(vars(found))
    if path not in _compiled:
        from ._digest import digest_file

        _compiled[path] = " " + digest_file(path).hex()
    return _compiled[path]


def is_project_class(cls: type, home: str = "") -> bool:
    """The same for a class, by the module that it names."""
    module = _module(cls.__module__)
    if cls.__module__ == "types" and getattr(module, cls.__qualname__, None) is not cls:
        return True  # made at run time, by dataclasses.make_dataclass or types.new_class
    return cls.__module__ != "builtins" and is_project(module or cls.__module__, home)


def is_project_file(path: str, home: str = "") -> bool:
    if _site(path) is None:
        return not path.startswith(_STDLIB)
    found = distribution_of_file(path)
    if found is None:
        return False
    if found.name == home:
        return True
    if found.folder not in _local:
        _local[found.folder] = found.is_local
    return _local[found.folder]


def home_of(namespace: dict[str, Any]) -> str:
    """The name of the distribution that a function's module belongs to; "" outside site-packages."""
    path = file_of(namespace)
    found = distribution_of_file(path) if path and _site(path) else None
    return found.name if found else ""


def normal_name(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _listed(site: str) -> list[Distribution]:
    """The distributions of a site-packages folder, by the names of their metadata folders."""
    try:
        changed = os.stat(site).st_mtime
    except OSError:
        return []
    known = _sites.get(site)
    if known is not None and known[0] == changed:
        return known[1]
    found = []
    for entry in os.listdir(site):
        stem, dot, kind = entry.rpartition(".")
        if dot and kind in ("dist-info", "egg-info"):
            name, _, version = stem.partition("-")
            if kind == "egg-info":
                version = version.partition("-py")[0]
            found.append(Distribution(normal_name(name), version, os.path.join(site, entry)))
    found.sort()
    _sites[site] = (changed, found)
    return found


def _owns(distribution: Distribution, below: str) -> bool:
    """Whether the distribution's own list of files has this one."""
    for record in ("RECORD", "installed-files.txt"):
        try:
            with open(os.path.join(distribution.folder, record), encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        return f"\n{below}," in "\n" + text or f"../{below}\n" in text
    return False


def distribution_of_file(path: str) -> Distribution | None:
    """Which distribution a file in site-packages belongs to."""
    place = _site(path)
    if place is None:
        return None
    site, below = place
    top, _, rest = below.partition(os.sep)
    regular = not rest or os.path.exists(os.path.join(site, top, "__init__.py"))
    key = (site, top if regular else below)  # a namespace package is shared by several distributions
    if key in _of_file:
        return _of_file[key]
    found: Distribution | None = None
    wanted = normal_name(top.partition(".")[0])
    listed = _listed(site)
    if regular:
        found = next((d for d in listed if d.name == wanted), None)
    if found is None:
        likely = sorted(listed, key=lambda d: wanted not in d.name)
        found = next((d for d in likely if _owns(d, below.replace(os.sep, "/"))), None)
    _of_file[key] = found
    return found


def package_of(name: str) -> tuple[str, str] | None:
    """(distribution, version) of the installed module of that name; None for the standard library and the unknown."""
    module = sys.modules.get(name)
    known = _packages.get(name)
    if known is None or known[0] is not module:
        known = _packages[name] = (module, _package_of(name))
    return known[1]


def _package_of(name: str) -> tuple[str, str] | None:
    if not name or is_memo(name):
        return None
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top == "__main__":
        return None
    module = _module(name) or _module(top)
    if module is None:
        return None
    path = file_of(vars(module))
    if not path:
        locations = getattr(getattr(module, "__spec__", None), "submodule_search_locations", None)
        for folder in locations or ():
            path = os.path.realpath(os.path.join(folder, "_"))
            break
    if not path or _site(path) is None:
        return None
    found = distribution_of_file(path)
    if found is not None:
        return found.name, found.version
    version = getattr(_module(top), "__version__", None)
    return (top, version) if isinstance(version, str) else None


def shortened(version: str, packages: str) -> str:
    """What counts of a version under ``packages=``: all of it, two numbers, one, nothing."""
    if packages == "exact":
        return version
    parts = version.split("+")[0].split(".")
    return ".".join(parts[: {"minor": 2, "major": 1}[packages]])


def label_of(namespace: dict[str, Any]) -> str:
    """A module's name as it may stand in a digest: the same run as a script, by ``-m`` or imported."""
    name = namespace.get("__name__")
    if not isinstance(name, str):
        return ""
    if name not in ("__main__", "__mp_main__"):
        return name
    path = file_of(namespace)
    if not path:
        return ""  # a notebook, a console
    folder, file = os.path.split(path)
    parts = [os.path.splitext(file)[0]]
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        parts.append(package)
    return ".".join(reversed(parts))
