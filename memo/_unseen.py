"""What ``depends="auto"`` can't see, named from the code that is followed: the environment, the clock, draws, other readers."""

from __future__ import annotations

from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FunctionType
    from typing import Any

_ENVIRONMENT = ("os.environ", "os.environb", "os.getenv", "os.getenvb", "os.path.expandvars", "posixpath.expandvars")
_CLOCK = (
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.strftime", "time.ctime", "datetime.datetime.now",
    "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today", "pandas.Timestamp.now", "pandas.Timestamp.today",
)  # fmt: skip
_DRAWS = (
    "random",
    "numpy.random",
    "secrets",
    "uuid.uuid1",
    "uuid.uuid4",
    "os.urandom",
    "torch.rand",
    "torch.randn",
    "torch.randint",
)
_SEEDED = (
    "Random",
    "SystemRandom",
    "default_rng",
    "Generator",
    "RandomState",
    "SeedSequence",
    "seed",
    "PCG64",
    "mtrand",
)
#: what opens files without Python's open(), or in other threads and processes
_READERS = (
    "pyarrow", "polars", "h5py", "tables", "netCDF4", "sqlite3", "duckdb", "cv2", "rasterio", "lxml", "ctypes", "cffi",
    "subprocess", "multiprocessing", "threading", "concurrent.futures", "pandas.read_parquet", "pandas.read_feather",
    "pandas.read_orc", "pandas.read_hdf", "pandas.read_sql", "pandas.HDFStore",
)  # fmt: skip


def unseen(functions: list[FunctionType]) -> dict[str, list[str]]:
    """What these functions use, by what it is: "the environment", "the clock", "draws", "readers"."""
    used = sorted({name for function in functions for name in _names(function)})
    found = {
        "the environment": _among(used, _ENVIRONMENT),
        "the clock": _among(used, _CLOCK),
        "draws": [name for name in _among(used, _DRAWS) if not any(part in _SEEDED for part in name.split("."))],
        "readers": _among(used, _READERS),
    }
    if any(name.endswith(".seed") for name in used):
        found["draws"] = []
    return {what: names for what, names in found.items() if names}


def text(function: str, found: dict[str, list[str]]) -> str:
    """The warning."""
    parts = []
    if names := found.get("the environment"):
        parts.append(f"it reads the environment ({', '.join(names)}): name what counts with Env(...)")
    if names := found.get("the clock"):
        parts.append(f"it looks at the clock ({', '.join(names)}): give a ttl, or make the time an argument")
    if names := found.get("draws"):
        parts.append(
            f"it draws without a seed that can be seen ({', '.join(names)}): results are kept as they were drawn"
        )
    if names := found.get("readers"):
        parts.append(f"files that are opened by {', '.join(names)} may be missed: name them in a list")
    return (
        f"depends='auto' sees the files that Python opens in the thread of {function}, and no more: {'; '.join(parts)}"
    )


def _among(used: list[str], known: tuple[str, ...]) -> list[str]:
    return [name for name in used if any(name == one or name.startswith(one + ".") for one in known)]


def _names(function: FunctionType) -> Iterator[str]:
    """Dotted names, from the modules on, of what a function reads of others."""
    from .fingerprint._source import piece

    found = piece(function)
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
    for first, *rest in found.reads:
        if first in cells:
            try:
                value = cells[first].cell_contents
            except ValueError:
                continue
        else:
            value = function.__globals__.get(first)
        if home := _home(value):
            yield ".".join((home, *rest))
    for (level, module), chains in found.imports.items():
        for chain in chains if not level else ():
            yield ".".join((module, *chain))


def _home(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    module = getattr(value, "__module__", None)
    if module is None and (owner := getattr(value, "__self__", None)) is not None:  # random.random, of a hidden object
        module = owner.__name__ if isinstance(owner, ModuleType) else type(owner).__module__
        name = getattr(value, "__name__", None)
    if type(value).__module__ == "os" and type(value).__name__ == "_Environ":
        return "os.environ"
    return f"{'os' if module == 'posix' else module}.{name}" if module and isinstance(name, str) else ""
