"""Codecs: what goes in comes out of any memory, and what was damaged raises within the size that it says."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo import Cache, _entry
from memo.codecs import Lz4, Zlib, Zstd, codec, encode
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


# ------------------------------------------------------------------------------------- left out where it gains nothing


def named(compress, value, location, **options):
    """The codecs that the head names, the size of the body, and the value of a later run."""
    cache = Cache(location, compress=compress, **options)

    def f():
        return value

    cache.persist(f, name="f")()
    record = cache.storage.read(cache.persist(f, name="f").cache_key())
    again = Cache(location).persist(f, name="f").get()
    return _entry.unpack(record.head).codecs, len(record.body), again


@pytest.mark.parametrize("size", [300, 20_000, 3_000_000])
@every_codec
def test_what_gains_nothing_is_stored_as_it_is(name, size, tmp_path):
    noise = np.random.default_rng(0).bytes(size)
    codecs, length, again = named(name, noise, tmp_path / "noise", serializer="bytes")
    assert (codecs, length) == ((), size)
    assert again == noise
    text = b"some text, some text, " * (size // 22)
    codecs, length, again = named(name, text, tmp_path / "text", serializer="bytes")
    assert codecs == (name,)
    assert length < size // 3
    assert again == text


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_it_has_to_gain_a_tenth(share, tmp_path):
    size = 500_000
    value = np.random.default_rng(0).bytes(round(size * (1 - share))) + bytes(round(size * share))
    codecs, _, again = named("zlib", value, tmp_path, serializer="bytes")
    assert codecs == (("zlib",) if share > 0.1 else ())
    assert again == value


def test_of_a_large_body_that_gains_nothing_only_a_sample_is_compressed():
    seen = []

    class Counting(Zlib):
        def encode(self, parts):
            seen.append(sum(map(len, parts)))
            return super().encode(parts)

    noise = np.random.default_rng(0).bytes(8_000_000)
    parts = [noise[:1], noise[1:3_000_000], b"", noise[3_000_000:]]
    assert encode([Counting()], parts) == (parts, ())
    assert len(seen) == 1
    assert seen[0] < 200_000


class Xor:
    name = "xor"

    def encode(self, parts):
        return [bytes(byte ^ 7 for byte in b"".join(parts))]

    def decode(self, data):
        return memoryview(bytearray(byte ^ 7 for byte in data))


def test_several_in_order_and_those_that_do_not_compress_always(tmp_path):
    cache = Cache(tmp_path, serializer="bytes", compress=["zlib", Xor()], storage="files")

    def f(value):
        return value

    persisted = cache.persist(f)
    for value, names in ((b"text " * 900, ("zlib", "xor")), (b"x", ("xor",))):
        persisted(value)
        record = cache.storage.read(persisted.cache_key(value))
        assert _entry.unpack(record.head).codecs == names
        again = pickle.loads(pickle.dumps(Cache(tmp_path, compress=[Xor()]))).persist(f)
        assert again.get(value) == value
    assert "stored by 'bytes' through xor: there is no codec 'xor'" in str(Cache(tmp_path).persist(f).why(b"x"))


def test_the_suffix_is_that_of_what_is_in_the_file(tmp_path):
    Cache(tmp_path, serializer="bytes", compress="zlib", storage="files").persist(lambda: b"short", name="f")()
    Cache(tmp_path, serializer="bytes", compress="zlib").persist(lambda: b"long " * 99, name="g")()
    assert [path.read_bytes() for path in tmp_path.rglob("*.bin")] == [b"short"]


def test_codecs_of_other_packages_are_found_by_entry_point(tmp_path):
    (tmp_path / "turning.py").write_text(
        "class Turn:\n    name = 'turn'\n    def encode(self, parts): return [b''.join(parts)[::-1]]\n"
        "    def decode(self, data): return memoryview(bytes(data)[::-1])\n"
        "class Misnamed(Turn):\n    name = 'other'\n"
    )
    info = tmp_path / "turning-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: turning\nVersion: 1.0\n")
    points = "turn = turning:Turn\nzlib = turning:Turn\nmisnamed = turning:Misnamed\n"
    (info / "entry_points.txt").write_text(f"[memo.codecs]\n{points}")
    program = """
from memo.codecs import codec
from memo.errors import OptionError
print(codec("turn").encode([b"ab", b"c"]), type(codec("zlib")).__name__)
try:
    codec("misnamed")
except OptionError as error:
    print(error)
"""
    env = {"PYTHONPATH": str(tmp_path)}
    shown = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, check=True, text=True).stdout
    first, second = shown.splitlines()
    assert first == "[b'cba'] Zlib", "memo's own names are memo's"
    assert second == "turning:Misnamed is registered as codec 'misnamed', but its name is 'other'"
