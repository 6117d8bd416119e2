"""One stream of random commands, with others reading meanwhile, gives the same answers from every storage."""

import pytest

from memo.model import Record
from memo.storages import Tiered, open_storage
from memo.storages._spill import Spill
from memo.storages.memory import Memory
from memo.testing import agree
from memo.testing._agreement import mixed

#: a storage more is a line more
KINDS = {
    "sqlite": lambda folder: open_storage("sqlite", folder),
    "only rows": lambda folder: open_storage("sqlite", folder, above=1 << 30),
    "files": lambda folder: open_storage("files", folder),
    "shelve": lambda folder: open_storage("shelve", folder),
    "hdf5": lambda folder: open_storage("hdf5", folder),
    "pytables": lambda folder: open_storage("pytables", folder),
    "memory": lambda folder: Memory(),
    "spill of memory": lambda folder: Spill(Memory(), Memory(), above=100),
    "memory before memory": lambda folder: Tiered(Memory(), Memory()),
}
#: those whose entries no other process sees
ALONE = {"memory", "spill of memory", "memory before memory"}


#: the suites of the others give them 300 commands each
LONG = [pytest.param(kind, 2000, marks=pytest.mark.slow) for kind in KINDS]


@pytest.mark.parametrize(("kind", "count"), [("only rows", 500), *LONG])
def test_all_storages_agree(kind, count, tmp_path):
    agree(KINDS[kind](str(tmp_path)), count=count, kept=kind not in ALONE)


class Forgetful(Memory):
    """Loses the mark of what it is asked for the 100th time."""

    asked = 0

    def read(self, name):
        self.asked += 1
        record = super().read(name)
        return record and record._replace(mark=5) if self.asked > 100 else record


class Mixing(Memory):
    """Gives the head of one write and the body of another."""

    def read(self, name):
        record = super().read(name)
        return record and record._replace(body=b"12")


@pytest.mark.parametrize("storage", [Forgetful(), Mixing()])
def test_a_storage_that_answers_otherwise_is_told(storage):
    with pytest.raises(AssertionError, match="instead of"):
        agree(storage, count=500, kept=False)


def test_a_mixture_of_two_writes_is_told():
    assert not mixed(None)
    for head, body in ((b"17 17 ", b"777"), (b"", b"77"), (b"17 ", b""), (b"", b"")):
        assert not mixed(Record(head, 0, body))
    for head, body in ((b"17 ", b"8"), (b"17 18 ", b""), (b"", b"78")):
        assert mixed(Record(head, 0, body))
