"""The parsers of stored bytes, for a fuzzer: they raise DamagedError or give something back, and nothing else.

``pip install atheris``, then ``python tests/faults/parsers.py -max_total_time=60``. The tests here run it on mutations of their own.
"""

from __future__ import annotations

import sys

from memo import _beats, _entry
from memo._place import marker_of
from memo.errors import DamagedError, PlaceError
from memo.model import Record
from memo.storages import _rows, _value, shelve
from memo.storages._entry_file import fields_of
from memo.storages.memory import Memory


def parse(data: bytes) -> None:
    for take in (_head, _entry_of, _end, _row, _one_value, _of_a_shelf, _marker, _record):
        try:
            take(data)
        except (DamagedError, PlaceError):
            pass


def _head(data: bytes) -> None:
    head = _entry.unpack(data if data[:1] != b"h" else _entry._PREFIX + data[1:])
    assert type(head.serializer) is str
    assert all(type(codec) is str for codec in head.codecs)


def _entry_of(data: bytes) -> None:
    half = len(data) // 2
    record = Record(data[:half], 0, data[half:], None)
    _entry.verify("a/b/c", record)
    raise AssertionError("bytes from nowhere are an entry")


def _end(data: bytes) -> None:
    fields_of(data, "nowhere")


def _row(data: bytes) -> None:
    _rows.unpack(data)


def _one_value(data: bytes) -> None:
    _value.record_of("a/b/c", data)


def _of_a_shelf(data: bytes) -> None:
    shelve._load(data)


def _marker(data: bytes) -> None:
    marker_of(data, "nowhere")


def _record(data: bytes) -> None:
    storage = Memory()
    storage.write("flights/h-1", [data], bytes, size=len(data), mark=0)
    list(_beats.processes(storage, 0.0))


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, parse)
    atheris.Fuzz()
