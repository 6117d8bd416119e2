"""Pickles of which only what is on a list is loaded: for results that are more than data, in places that others can write to.

The decision: the list names what may be looked up while loading, as ``module.name``; everything else in a pickle can only
be data. Nothing on the list does anything but make values, whatever it is called with. What could not be loaded again is
not stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pickle import PickleBuffer, Unpickler, UnpicklingError, dumps
from typing import Any

from memo.errors import OptionError, UnstorableError

from ._pickle import Pickle, load_large

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.model import Buffer

#: What makes values, by module. Nothing of pyarrow, whose arrays believe the offsets that they are made of: columns of text
#: in pandas 3 are better stored as tables ("parquet", "arrow", trust="data").
_ALLOWED = {
    "builtins": "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple",
    "collections": "ChainMap Counter OrderedDict UserDict UserList UserString defaultdict deque",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "ipaddress": "IPv4Address IPv4Network IPv6Address IPv6Network",
    "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "pathlib._local": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "types": "SimpleNamespace",
    "uuid": "UUID SafeUUID",
    "zoneinfo": "ZoneInfo._unpickle",
    "_codecs": "encode",
    "numpy": "dtype ndarray",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "pandas": "BooleanDtype Categorical CategoricalDtype DataFrame DatetimeIndex DatetimeTZDtype Index Int64Dtype Interval"
    " MultiIndex NA Period PeriodDtype RangeIndex Series StringDtype TimedeltaIndex",
    "pandas.arrays": "BooleanArray DatetimeArray IntegerArray PeriodArray TimedeltaArray",
    "pandas.core.frame": "DataFrame",
    "pandas.core.series": "Series",
    "pandas.core.indexes.base": "Index _new_Index",
    "pandas.core.indexes.range": "RangeIndex",
    "pandas.core.indexes.multi": "MultiIndex",
    "pandas.core.indexes.datetimes": "DatetimeIndex _new_DatetimeIndex",
    "pandas.core.indexes.timedeltas": "TimedeltaIndex",
    "pandas.core.internals.managers": "BlockManager SingleBlockManager",
    "pandas._libs.internals": "_unpickle_block",
    "pandas._libs.tslibs.timestamps": "Timestamp _unpickle_timestamp",
    "pandas._libs.tslibs.timedeltas": "Timedelta _timedelta_unpickle",
    "pandas._libs.tslibs.nattype": "_nat_unpickle",
    "pandas._libs.tslibs.offsets": "Day MonthEnd",
    "pandas._libs.arrays": "__pyx_unpickle_NDArrayBacked",
    "pandas.core.arrays.datetimes": "DatetimeArray",
    "pandas.core.arrays.categorical": "Categorical",
    "pandas.core.dtypes.dtypes": "CategoricalDtype DatetimeTZDtype",
}
_NAMES = frozenset(f"{module}.{name}" for module, names in _ALLOWED.items() for name in names.split())


class Restricted:
    """pickle, restricted to numbers, texts, containers, dates, paths, arrays, frames, and what ``allow`` adds.

    Args:
        allow: classes, their full names (``"shop.orders.Order"``), or ``"shop.orders.*"`` for all classes of a module
            and of those in it. Loading makes instances of them and calls their ``__setstate__`` or ``__init__`` with
            whatever is stored, so allow only what does no harm then.

    Raises UnstorableError for results that it would not load again.
    """

    name = "pickle"  #: what it writes any cache reads
    suffix = ".pkl"
    safe = True

    def __init__(self, allow: Iterable[type | str] = ()) -> None:
        if isinstance(allow, (str, type)) or not isinstance(allow, Iterable):
            allow = (allow,)
        self.allow = tuple(sorted({_named(each) for each in allow}))
        self._modules = tuple(name[:-1] for name in self.allow if name.endswith(".*"))
        self._names = _NAMES.union(name for name in self.allow if not name.endswith(".*"))

    def __reduce__(self) -> tuple[type[Restricted], tuple[tuple[str, ...]]]:
        return Restricted, (self.allow,)

    def __repr__(self) -> str:
        return f"Restricted(allow={list(self.allow)!r})"

    def dump(self, value: Any, /) -> list[Buffer]:
        buffers: list[PickleBuffer] = []
        try:
            self._load(dumps(value, 5, buffer_callback=buffers.append), buffers)
        except Exception as error:
            raise UnstorableError(f"a {type(value).__name__} would not be loaded again: {error}") from error
        return Pickle().dump(value)

    def load(self, data: memoryview, /) -> Any:
        return load_large(data, self._load)

    def _load(self, stream: Any, buffers: Any) -> Any:
        return _Unpickler(self._names, self._modules, BytesIO(stream), buffers).load()


class _Unpickler(Unpickler):
    def __init__(self, names: frozenset[str], modules: tuple[str, ...], file: BytesIO, buffers: Any) -> None:
        super().__init__(file, buffers=buffers)
        self._names, self._modules = names, modules

    def find_class(self, module: str, name: str, /) -> Any:
        full = f"{module}.{name}"
        if full in self._names:
            return super().find_class(module, name)
        if f"{module}.".startswith(self._modules or "\0"):
            found = super().find_class(module, name)  # "shop.orders" may lead to "os.system" by its attributes
            if isinstance(found, type) and f"{found.__module__}.".startswith(self._modules):
                return found
        raise UnpicklingError(
            f"it holds {full}, which is not on the list of what may be loaded here; if that does no harm, give"
            f" serializer=memo.serializers.Restricted(allow=[{full!r}])"
        )


def _named(allowed: Any) -> str:
    if isinstance(allowed, type):
        return f"{allowed.__module__}.{allowed.__qualname__}"
    if not isinstance(allowed, str) or "." not in allowed or allowed.startswith((".", "*")):
        raise OptionError(
            f"allow takes classes, full names such as 'shop.orders.Order', or 'shop.orders.*'; got {allowed!r}"
        )
    return allowed
