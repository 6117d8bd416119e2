"""The storage on SQLAlchemy, here on SQLite; the same on a real PostgreSQL is in servers/test_postgresql.py."""

import os
import pickle
import signal
import stat
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy
from sqlalchemy.dialects import mssql, mysql, postgresql
from sqlalchemy.schema import CreateTable

from memo import Cache, OptionError
from memo.protocols import Batch, Heads, Locks, Purge, Ranks, Words
from memo.storages import sql
from memo.storages._sql_table import Statements
from memo.storages.sql import Sql
from memo.testing import StorageSuite, agree

NAME = "f-01/v1/00"


def at(folder, **options):
    return Sql(f"sqlite:///{folder}/entries.db", **options)


def put(storage, name=NAME, body=b"body", mark=0):
    storage.write(name, [body], lambda: b"head", size=len(body), mark=mark)


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(sql, "_PAGE", 100)


@pytest.mark.usefixtures("small_pages")
class TestSql(StorageSuite):
    many = 350  # each write waits for the disk

    def make(self, tmp_path):
        return at(tmp_path)


def plain(folder, monkeypatch):
    """As on a database of which nothing is known but SQL: no upsert, no RETURNING, no statement that commits by itself."""
    monkeypatch.setattr("memo.storages._sql_table._upserts", lambda table, dialect: (None, None))
    storage = at(folder)
    storage._database.committing = False
    return storage


class TestPlainSql(StorageSuite):
    many = 50
    crowds_are_slow = True

    @pytest.fixture(autouse=True)
    def _patch(self, monkeypatch):
        self.monkeypatch = monkeypatch

    def make(self, tmp_path):
        return plain(tmp_path, self.monkeypatch)

    # a pickled copy in another process is not patched: these are tested above
    test_processes_share_one_store = test_a_killed_writer_leaves_the_old_entry = None


@pytest.mark.slow
def test_a_stream_of_random_commands(tmp_path):
    agree(at(tmp_path), count=1000)


@pytest.mark.slow
def test_a_stream_of_random_commands_in_plain_sql(tmp_path, monkeypatch):
    agree(plain(tmp_path, monkeypatch), count=300, kept=False)


def test_has_the_abilities_of_its_engine(tmp_path):
    storage = at(tmp_path)
    assert all(isinstance(storage, ability) for ability in (Heads, Batch, Words, Ranks, Purge))
    assert not isinstance(storage, Locks)


def test_the_file_is_private_and_made_by_the_first_write(tmp_path):
    storage = at(tmp_path / "a/b")
    assert storage.read(NAME) is None
    assert not (tmp_path / "a").exists()
    old = os.umask(0)
    try:
        put(storage)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a/b/entries.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o700


def test_tables_of_one_database_are_apart(tmp_path):
    one, two = at(tmp_path), at(tmp_path, table='a"; DROP TABLE memo; --')
    put(one)
    assert two.read(NAME) is None
    put(two, body=b"other")
    assert two.bump("f") == two.word("f")
    assert one.word("f") == 0
    assert (one.read(NAME).body, two.read(NAME).body) == (b"body", b"other")


def test_somebody_elses_table_is_left_alone(tmp_path):
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/entries.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE memo(id INTEGER)")
        connection.exec_driver_sql("INSERT INTO memo VALUES (7)")
    storage = at(tmp_path)
    with pytest.raises(Exception, match="column"):
        put(storage)
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT * FROM memo").fetchall() == [(7,)]


def test_a_relative_path_is_of_where_it_was_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage = Sql("sqlite:///entries.db")
    monkeypatch.chdir("/")
    put(storage)
    assert (tmp_path / "entries.db").exists()


def test_the_password_goes_with_the_pickle_and_is_never_shown():
    pytest.importorskip("psycopg")
    storage = Sql("postgres://me:secret@host/db")
    assert repr(storage) == "Sql('postgresql+psycopg://me:***@host/db')"
    again = pickle.loads(pickle.dumps(storage))
    assert again._database.url.password == "secret"
    assert (again.table, again.timeout) == (storage.table, storage.timeout)


@pytest.mark.parametrize(
    ("url", "said"),
    [("no url at all", "no URL of SQLAlchemy"), ("nosuch://x", "no URL of SQLAlchemy.*nosuch")],
)
def test_what_is_no_usable_url_says_so(url, said):
    with pytest.raises(OptionError, match=said):
        Sql(url)


def test_a_database_in_memory(tmp_path):
    storage = Sql("sqlite://")
    put(storage)
    with ThreadPoolExecutor(4) as pool:
        assert [record.body for record in pool.map(storage.read, [NAME] * 50)] == [b"body"] * 50


def test_a_missing_driver_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(ImportError, match=r'pip install "memo-persist\[postgresql\]"'):
        Sql("postgresql://host/db")


def test_other_databases_get_names_byte_by_byte_and_big_bodies():
    for dialect, upsert in ((mysql.dialect(), "ON DUPLICATE KEY UPDATE"), (mssql.dialect(), None)):
        statements = Statements("memo", dialect)
        made = str(CreateTable(statements.table).compile(dialect=dialect))
        assert ("ascii_bin" in made and "LONGBLOB" in made) or "Latin1_General_BIN2" in made
        if upsert is None:
            assert statements.upsert is None
        else:
            text = str(statements.upsert.compile(dialect=dialect))
            assert upsert in text
            assert "rank_ =" not in text  # an entry that is written anew keeps its rank
        assert statements.bump is None
    made = str(CreateTable(Statements("memo", postgresql.dialect()).table).compile(dialect=postgresql.dialect()))
    assert 'COLLATE "C"' in made


@pytest.mark.parametrize("forks", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_a_fork_waits_for_what_other_threads_ask(tmp_path, forks):
    """SQLite remembers locks in the process: a child that was forked inside a statement would believe it has some."""
    storage, stop, wrong = at(tmp_path), threading.Event(), []
    put(storage)

    def work(number):
        try:
            while not stop.wait(0.01):  # SQLite lets who writes without a pause go first, again and again
                put(storage, f"f-01/v3/{number:02x}", b"x" * 100_000)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(forks):
            child = os.fork()
            if not child:
                status = 1
                signal.alarm(60)  # one that hangs must not outlive the test
                try:
                    put(storage, f"f-01/v2/{number:02x}")
                    assert storage.read(NAME).body == b"body"
                    status = 0
                except BaseException:
                    (tmp_path / "failed").write_text(traceback.format_exc())
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0, (tmp_path / "failed").read_text()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert len(list(storage.scan("f-01/v2"))) == forks


def test_two_caches_on_one_url(tmp_path):
    url = f"sqlite:///{tmp_path}/shared.db"

    @Cache(url, sign="a secret of the test").persist(name="double")
    def double(x):
        return 2 * x

    @Cache(url, sign="a secret of the test", front_ttl=0).persist(name="double")
    def again(x):
        return 2 * x

    assert (double(4), double(4), double.cache_info().hits) == (8, 8, 1)
    double.cache_clear()
    assert not double.is_cached(4)
    assert again(5) == 10
