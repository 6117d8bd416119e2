"""The parsers of stored bytes, for a fuzzer: they raise DamagedError or give something back, and nothing else.

``pip install atheris``, then ``python tests/faults/parsers.py -max_total_time=60``. The tests here run it on mutations of their own.
"""

from __future__ import annotations

import sys

from memo import _entry
from memo.errors import DamagedError
from memo.model import Record
from memo.storages._entry_file import fields_of


def parse(data: bytes) -> None:
    for take in (_head, _entry_of, _end):
        try:
            take(data)
        except DamagedError:
            pass


def _head(data: bytes) -> None:
    head = _entry.unpack(data)
    assert type(head.serializer) is str
    assert all(type(codec) is str for codec in head.codecs)


def _entry_of(data: bytes) -> None:
    half = len(data) // 2
    record = Record(data[:half], 0, data[half:], None)
    _entry.verify("a/b/c", record)
    raise AssertionError("bytes from nowhere are an entry")


def _end(data: bytes) -> None:
    fields_of(data, "nowhere")


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, parse)
    atheris.Fuzz()
