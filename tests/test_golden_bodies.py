"""Bodies as each serializer has once written them are loaded for ever after.

``python tests/test_golden_bodies.py write`` adds samples that are missing; a sample is never changed afterwards.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from memo.codecs import codec
from memo.serializers import Joblib, Json, serializer
from memo.testing._serializer import SerializerSuite

BODIES = Path(__file__).parent / "golden" / "bodies"

if __name__ == "__main__":  # the module's name is in the digest of an annotation
    __name__ = "test_golden_bodies"
    sys.modules[__name__] = sys.modules["__main__"]


@dataclass
class Sample:
    day: date
    parts: tuple[int | None, ...]
    by_id: dict[int, bytes]


def annotated() -> list[Sample]: ...  # type: ignore[empty-body]


def frame() -> pd.DataFrame:
    made = pd.DataFrame(
        {"i": [1, 2, 3], "f": [0.5, float("nan"), -0.0], "s": ["a", None, "ü"]}, index=pd.RangeIndex(1, 4, name="n")
    )
    made.attrs = {"unit": "m"}
    return made


LARGE = np.arange(3000.0)  # 24,000 bytes: beside the pickle
ARRAYS = {"a": np.arange(5, dtype="i4"), "b": np.asfortranarray(np.arange(6.0).reshape(2, 3))}
TABLE = pl.DataFrame({"i": [1, 2], "s": ["a", None], "d": [date(2024, 2, 29), None]})

#: file name -> (serializer, value)
SAMPLES: dict[str, tuple[Any, Any]] = {
    "pickle.pkl": ("pickle", {"a": [1, 2.5, None, (b"x", "ü")]}),
    "pickle-framed.pkl": ("pickle", [LARGE, {"a": LARGE[:2500]}]),
    "json.json": ("json", {"a": [1, 2.5, None, True], "ü": "\ud800"}),
    f"{Json().bind(annotated).name.replace(':', '-')}.json": (Json().bind(annotated), [Sample(date(2024, 2, 29), (1, None), {7: b"\xff"})]),
    "text.txt": ("text", "Zeile\r\nü\0"),
    "bytes.bin": ("bytes", bytes(range(256))),
    "joblib.joblib": ("joblib", {"a": LARGE[:100], "b": [1, "x"]}),
    "joblib-zlib.joblib": (Joblib(compress=3), {"a": LARGE[:100], "b": [1, "x"]}),
    "numpy.npy": ("numpy", ARRAYS["b"]),
    "numpy-dict.npz": ("numpy", ARRAYS),
    "numpy-tuple.npz": ("numpy", tuple(ARRAYS.values())),
    "arrow-pandas.arrow": ("arrow", frame()),
    "arrow-series.arrow": ("arrow", frame()["f"]),
    "arrow-polars.arrow": ("arrow", TABLE),
    "arrow-pyarrow.arrow": ("arrow", pa.table({"a": [1, None], "s": ["x", "y"]})),
    "parquet-pandas.parquet": ("parquet", frame()),
    "parquet-polars.parquet": ("parquet", TABLE),
    "auto.bin": ("auto", b"bytes"),
}  # fmt: skip
TEXT = b"a text, a text, " * 60


def test_there_is_a_sample_of_each() -> None:
    """The name of the one that is typed by an annotation has its digest: that stays the same as well."""
    assert {path.name for path in BODIES.iterdir()} >= {*SAMPLES, "zlib", "zstd", "lz4"}
    assert {"arrow", "auto", "bytes", "joblib", "json", "numpy", "parquet", "pickle", "text"} == {
        name for name, _ in SAMPLES.values() if isinstance(name, str)
    }


@pytest.mark.parametrize("name", SAMPLES)
def test_what_was_written_once_is_loaded(name: str) -> None:
    plug, value = SAMPLES[name]
    data = (BODIES / name).read_bytes()
    for view in (memoryview(data), memoryview(bytearray(data))):
        back = serializer(plug).load(view)
        assert SerializerSuite().same(value, back)
        assert getattr(back, "attrs", None) == getattr(value, "attrs", None)


@pytest.mark.parametrize("name", ["zlib", "zstd", "lz4"])
def test_what_was_compressed_once_is_decoded(name: str) -> None:
    try:
        plug = codec(name)
    except ImportError as error:
        pytest.skip(str(error))
    assert bytes(plug.decode(memoryview((BODIES / name).read_bytes()))) == TEXT


if sys.modules.get("__main__") is sys.modules[__name__] and sys.argv[1:] == ["write"]:
    BODIES.mkdir(exist_ok=True)
    written = {name: serializer(plug).dump(value) for name, (plug, value) in SAMPLES.items()}
    written |= {name: codec(name).encode([TEXT]) for name in ("zlib", "zstd", "lz4")}
    for name, parts in written.items():
        if not (BODIES / name).exists():
            (BODIES / name).write_bytes(b"".join(parts))
