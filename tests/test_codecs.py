"""Codecs: what goes in comes out of any memory, and what was damaged raises within the size that it says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo.codecs import Lz4, Zlib, Zstd, codec
from memo.errors import DamagedError, OptionError
from memo.protocols import Codec


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent
        return False


needs_zstd = pytest.mark.skipif(
    not (_found("compression.zstd") or _found("backports.zstd")), reason="backports.zstd is not installed"
)
needs_lz4 = pytest.mark.skipif(not _found("lz4"), reason="lz4 is not installed")
names = ["zlib", pytest.param("zstd", marks=needs_zstd), pytest.param("lz4", marks=needs_lz4)]
every_codec = pytest.mark.parametrize("name", names)


def encoded(name, *parts):
    return b"".join(codec(name).encode(parts))


@every_codec
@given(parts=st.lists(st.binary(max_size=50), max_size=5))
def test_what_goes_in_comes_out(name, parts):
    data = encoded(name, *parts)
    for view in (memoryview(data), memoryview(bytearray(data)), memoryview(b"x" + data + b"y")[1:-1]):
        assert bytes(codec(name).decode(view)) == b"".join(parts)


@every_codec
def test_large_bodies_of_every_kind_of_buffer(name):
    array = np.arange(400_000) % 1000
    noise = np.random.default_rng(0).bytes(300_000)
    data = encoded(name, b"head", bytearray(noise), memoryview(array).cast("B"), b"")
    assert len(data) < array.nbytes
    back = codec(name).decode(memoryview(data))
    assert back == b"head" + noise + array.tobytes()
    assert not back.readonly, "arrays can lie in it without another copy"


@every_codec
def test_what_was_cut_off_or_continued_is_damage(name):
    data = encoded(name, b"some text, some text, " * 9000)
    for length in {*range(30), len(data) // 2, *range(len(data) - 9, len(data))}:
        with pytest.raises(DamagedError):
            codec(name).decode(memoryview(data)[:length])
    with pytest.raises(DamagedError):
        codec(name).decode(memoryview(data + b"more"))
    with pytest.raises(DamagedError):
        codec(name).decode(memoryview(data[:8] + b"no such stream" * 20))


@every_codec
def test_no_more_is_decoded_than_it_says(name):
    size = 50_000_000
    data = bytearray(encoded(name, bytes(size)))
    for says in (0, 1000, size - 1, size + 1):
        data[:8] = says.to_bytes(8, "little")
        tracemalloc.start()
        try:
            with pytest.raises(DamagedError, match=f"the {says} bytes that it says"):
                codec(name).decode(memoryview(data))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 3 * says + 1_000_000


@every_codec
def test_names_give_one_instance_and_objects_themselves(name):
    plug = codec(name)
    assert codec(name) is plug
    assert codec(plug) is plug
    assert plug.name == name
    assert isinstance(plug, Codec)


def test_zlib_levels():
    _levels(Zlib, (0, 1, 9), (-1, 10, "9", True, 1.0))


@needs_zstd
def test_zstd_levels():
    _levels(Zstd, (-5, 1, 19), (100, "3", None))


@needs_lz4
def test_lz4_levels():
    _levels(Lz4, (0, 9, 16), (-1, 17, "3"))


def _levels(plug, levels, wrong):
    for level in levels:
        data = b"".join(plug(level).encode([b"text " * 500]))
        assert plug().decode(memoryview(data)) == b"text " * 500, "read at any level"
    for level in wrong:
        with pytest.raises(OptionError, match=f"{plug.__name__}.level=.* must be an int"):
            plug(level)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("zip", r"there is no codec 'zip': expected one of lz4, zlib, zstd"),
        (Zlib, r"must be an instance, not a class: write Zlib\(\)"),
        (6, "got 6"),
    ],
)
def test_what_is_no_codec_is_refused_clearly(choice, message):
    with pytest.raises(OptionError, match=message):
        codec(choice)


@pytest.mark.parametrize(("name", "package"), [("zstd", "backports.zstd"), ("lz4", "lz4")])
def test_a_missing_package_says_what_to_install(name, package):
    program = f"""
import sys
for missing in ("compression", "compression.zstd", "backports", "backports.zstd", "lz4", "lz4.frame"):
    sys.modules[missing] = None
from memo.codecs import codec
try:
    codec({name!r})
except ImportError as error:
    print(error)
"""
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert f'pip install "memo-persist[{name}]"' in shown
    assert package in shown


def test_the_socket_loads_no_codec():
    program = "import sys, memo.codecs; print([m for m in sys.modules if m in ('zlib', 'lz4', 'backports.zstd')])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert shown.strip() == "[]"
