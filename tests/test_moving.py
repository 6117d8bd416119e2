"""README's tables for who comes from another cache: every row is run, memo's side and, where it is installed, theirs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import memo
from memo import Cache, OptionError, persist, settings

README = Path(__file__).parent.parent / "README.md"


def rows() -> list[tuple[str, str, str]]:
    """(whose, their spelling, memo's) of every row."""
    part = README.read_text(encoding="utf-8").partition("\n## Moving from ")[2].partition("\n## ")[0]
    found, whose = [], ""
    for line in part.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] if line.startswith("|") else []
        if len(cells) == 3 and cells[1] == "memo":
            whose = cells[0].split(",")[0]
        elif len(cells) == 3 and cells[0].startswith("`"):
            found.append((whose, cells[0].strip("`"), cells[1].strip("`")))
    return found


class Model:
    pass


def model_key(model: Any) -> int:
    return 1


class Session:
    """What a row may speak of: a cache with a function ``f`` whose ``f(3)`` is stored, as memo makes them."""

    def __init__(self, folder: Path) -> None:
        self.notes = str(folder / "computed")
        cache = Cache(folder / "place")
        f = cache.persist(self.function("f"), name="f", ignore=["verbose", "_connection"], tags=["web"])
        self.names = {
            "Cache": Cache, "Model": Model, "cache": cache, "f": f, "memo": memo, "memory": cache, "model_key": model_key,
            "persist": persist,
        }  # fmt: skip
        f(3)
        Path(self.notes).unlink()

    @property
    def computed(self) -> list[int]:
        return [int(line) for line in Path(self.notes).read_text().split()] if Path(self.notes).exists() else []

    def function(self, name: str) -> Callable[..., Any]:
        notes = self.notes

        def g(x: Any = 3, verbose: bool = False, _connection: object = None) -> list[Any]:
            with open(notes, "a") as file:
                file.write(f"{x}\n")
            return [x]

        g.__name__ = g.__qualname__ = name
        return g

    def decorated(self, decorator: str, name: str = "g") -> Any:
        return eval(f"_decorate({decorator[1:]})", {**self.names, "_decorate": lambda made: made(self.function(name))})

    def run(self, statement: str) -> Any:
        try:
            code = compile(statement, "<row>", "eval")
        except SyntaxError:
            exec(statement, self.names)
            return None
        return eval(code, self.names)


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMO_DIR", str(tmp_path / "default"))
    yield Session(tmp_path)
    settings.no_flags()


def is_forgotten(session: Session, answer: Any) -> None:
    assert not session.names["f"].is_cached(3)


def is_kept(session: Session, answer: Any) -> None:
    assert session.names["f"].is_cached(3)


def is_computed(session: Session, answer: Any) -> None:
    assert session.computed == [3]


def answers(expected: Any) -> Callable[[Session, Any], None]:
    def check(session: Session, answer: Any) -> None:
        assert answer == expected
        assert session.computed == []

    return check


def is_a_cache(session: Session, answer: Any) -> None:
    made = session.names["memory"] if answer is None else answer
    assert isinstance(made, Cache)
    g = made.persist(session.function("g"), name="g")
    assert g(3) == g(3) == [3]
    assert session.computed == [3]


def is_set(session: Session, answer: Any) -> None:
    assert session.names["f"](3) == 9


def is_off(session: Session, answer: Any) -> None:
    f = session.names["f"]
    f(3), f(3)
    assert session.computed == [3, 3]


def hashes(session: Session, answer: Any) -> None:
    f = session.names["f"]
    assert f.cache_key(Model()) == f.cache_key(Model())


def counts(session: Session, answer: Any) -> None:
    assert (answer[:2], session.names["f"].cache_info().misses) == ((0, 1), 1)


EFFECTS: dict[str, Callable[[Session, Any], None]] = {
    'memory = Cache("results")': is_a_cache, 'Cache("results", compress="zlib")': is_a_cache, 'Cache("results")': is_a_cache,
    'Cache("results", max_size="1GB")': is_a_cache, 'Cache("results", max_size="1GiB")': is_a_cache,
    'Cache("results", max_entries=1000, evict="lru")': is_a_cache, 'memory.clear(older_than="7d")': is_kept, "memory.clear()": is_forgotten,
    "f.cache_clear()": is_forgotten, "f.is_cached(3)": answers(True), "f.refresh(3)": is_computed,
    "f.call_and_shelve(3).get()": answers([3]), 'cache.clear(tag="web")': is_forgotten, "cache.clear(expired=True)": is_kept,
    "f.cache_info()": counts, "cache.clear()": is_forgotten, 'with memo.mode("off"): f(3)': is_computed, "f.set(9, 3)": is_set,
    'memo.settings.set_flags(mode="off")': is_off, "memo.hasher(Model)(model_key)": hashes,
    "f.cache_key(3)": lambda session, answer: answers(session.names["f"].cache_key(3))(session, answer),
    'f.cache_parameters()["location"]': lambda session, answer: answers(session.names["cache"].location)(session, answer),
}  # fmt: skip


def test_there_are_rows() -> None:
    assert {whose for whose, _, _ in rows()} == {"joblib", "diskcache", "cachier", "Streamlit"}
    assert len(rows()) >= 50


@pytest.mark.parametrize("spelling", sorted({ours for _, _, ours in rows()}))
def test_memo_s_side_of_a_row(session: Session, spelling: str) -> None:
    if spelling.startswith("@"):
        if "redis://" in spelling:  # no server here, maybe no client: the tests with servers have the rest
            with contextlib.suppress(ImportError):
                assert session.decorated(spelling).cache_parameters
            return
        g = session.decorated(spelling)
        assert g(3, verbose=True) == g(3, verbose=True) == [3]
        assert session.computed == [3]
        if "ignore" in spelling:
            assert g(3, verbose=False, _connection=None) == [3]
            assert len(session.computed) == (1 if "verbose" in spelling else 2)
        g(4)
        assert set(session.computed) == {3, 4}
    else:
        EFFECTS[spelling](session, session.run(spelling))


# ------------------------------------------------------------------------------------------------- their side

OPTIONS = re.compile(r"(\w+)=")
#: shown for what they do, not for an option of theirs that memo could be given
NO_OPTION = {"value_to_cache", "cachier__skip_cache", "cachier__overwrite_cache", "days", "age_limit", "ignore", "name", "ttl", "max_entries"}  # fmt: skip


@pytest.mark.parametrize("option", sorted({o for _, theirs, _ in rows() for o in OPTIONS.findall(theirs)} - NO_OPTION))
def test_their_option_names_memo_s_word(option: str) -> None:
    said = []
    for make in (lambda: persist(**{option: 1}), lambda: Cache(**{option: 1})):
        with contextlib.suppress(OptionError):
            make()
            continue
        with pytest.raises(OptionError) as refused:
            make()
        said.append(str(refused.value))
    assert any("memo's word for it is" in text or "must be" in text for text in said), said


def test_their_options_of_another_kind() -> None:
    for make, says in (
        (lambda: persist(max_size="1GB"), r"it concerns the whole store, cache=Cache\(\.\.\., max_size=\.\.\.\)"),
        (lambda: Cache(ttl="1h"), r"it concerns one function, @cache\.persist\(ttl=\.\.\.\)"),
    ):
        with pytest.raises(OptionError, match=says):
            make()


def their_names(whose: str, folder: Path) -> dict[str, Any]:
    from datetime import timedelta

    if whose == "joblib":
        from joblib import Memory, expires_after

        memory = Memory(folder, verbose=0)
        return {
            "Memory": Memory,
            "expires_after": expires_after,
            "memory": memory,
            "timedelta": timedelta,
            "make": memory.cache,
        }
    import diskcache

    cache = diskcache.Cache(folder)
    return {
        "Cache": diskcache.Cache, "cache": cache, "memoize_stampede": diskcache.memoize_stampede, "make": cache.memoize(name="f"),
    }  # fmt: skip


def their_function(x: int = 3, verbose: bool = False) -> int:
    return x


@pytest.mark.parametrize(
    ("whose", "spelling"), [(whose, theirs) for whose, theirs, _ in rows() if whose in ("joblib", "diskcache")]
)
def test_their_side_is_what_they_write(
    whose: str, spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = their_names(whose, tmp_path / "theirs")
    names["f"] = names["make"](their_function)
    names["f"](3)
    if spelling.startswith("@"):
        decorated = eval(f"_decorate({spelling[1:]})", {**names, "_decorate": lambda make: make(their_function)})
        assert decorated(3) == decorated(3) == 3
    else:
        exec(spelling, names)


def test_the_options_known_are_those_that_there_are() -> None:
    import inspect

    from memo import _peers

    cache = set(inspect.signature(Cache).parameters) - {"self", "unknown"}
    assert cache == set(_peers.OF_CACHE)
    for name in _peers.OF_PERSIST:
        with pytest.raises((OptionError, TypeError)) as refused:
            persist(**{name: object(), "nobody's": 1})
        assert f"no option {name!r}" not in str(refused.value)
