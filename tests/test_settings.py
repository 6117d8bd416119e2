"""Modes and their order of precedence, MEMO_* variables, [tool.memo], and clearing once in a whole run."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
import warm

from memo import settings
from memo.errors import OptionError
from memo.settings import Mode, current, mode


def program(folder: Path, text: str, *arguments: str, **environment: str) -> str:
    """Run a program of that text in a folder, in an environment without MEMO_*; its standard output."""
    file = folder / "program.py"
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MEMO_")}
    done = warm.run([file, *arguments], env={**clean, **environment}, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


# ------------------------------------------------------------------------------------------------- precedence

LAYERS = """
    import itertools, json
    from memo import settings
    settings.prepare(__file__)
    found = {}
    for own, within, flag in itertools.product((None, "off"), (None, "read-only"), (None, "only-cached")):
        settings.no_flags()
        if flag:
            settings.set_flags(mode=flag)
        chosen = settings.mode_named(own) if own else None
        if within:
            with settings.mode(within):
                found[f"{own} {within} {flag}"] = settings.current("a.b", chosen).name
        else:
            found[f"{own} {within} {flag}"] = settings.current("a.b", chosen).name
    print(json.dumps(found))
"""


@pytest.mark.parametrize("environment", [None, "refresh"])
@pytest.mark.parametrize("project", [None, "off"])
def test_the_order_of_precedence(tmp_path: Path, environment: str | None, project: str | None) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.memo]\nmode = "{project}"\n' if project else "")
    found = json.loads(program(tmp_path, LAYERS, **({"MEMO_MODE": environment} if environment else {})))
    for layers in itertools.product((None, "off"), (None, "read-only"), (None, "only-cached")):
        highest = next((layer for layer in (*layers, environment, project) if layer), "normal")
        assert found[" ".join(map(str, layers))] == highest


def test_modes_nest_restore_and_may_be_for_some_functions() -> None:
    assert current("a.b").name == "normal"
    with mode("off"):
        with mode("refresh", functions="shop.*"):
            assert (current("shop.price").name, current("a.b").name) == ("refresh", "off")
            with mode("normal"):
                assert current("shop.price").name == "normal"
        assert current("shop.price").name == "off"
    assert current("shop.price").name == "normal"


def test_a_mode_is_left_when_the_block_raises() -> None:
    with pytest.raises(ZeroDivisionError), mode("off"):
        raise ZeroDivisionError
    assert current("a.b").name == "normal"


def test_wrappers_are_told_while_a_mode_is_in_force_and_no_longer() -> None:
    before = len(settings.ACTIVE)
    with mode("refresh", functions="nothing.at.all"), mode("off"):
        assert settings.ACTIVE
    assert len(settings.ACTIVE) == before


def test_modes_may_be_left_in_another_order_than_they_were_entered() -> None:
    outer, inner = mode("off"), mode("refresh")
    outer.__enter__()
    inner.__enter__()
    outer.__exit__()
    assert current("a.b").name == "refresh"
    inner.__exit__()
    assert current("a.b").name == "normal"


def test_one_mode_object_used_by_two_threads_at_once() -> None:
    shared, met, seen = mode("off"), threading.Barrier(2), []

    def work() -> None:
        with shared:
            met.wait(10)
        met.wait(10)
        seen.append(current("a.b").name)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["normal", "normal"]


def test_threads_do_not_inherit_a_mode_and_tasks_do() -> None:
    async def tasks() -> list[str]:
        async def task() -> str:
            return current("a.b").name

        return [await asyncio.create_task(task()), await asyncio.to_thread(lambda: current("a.b").name)]

    seen = []
    with mode("off"):
        thread = threading.Thread(target=lambda: seen.append(current("a.b").name))
        thread.start()
        thread.join()
        assert asyncio.run(tasks()) == ["off", "off"]
    inherits = bool(getattr(sys.flags, "thread_inherit_context", 0))  # free-threaded Pythons since 3.14
    assert seen == ["off" if inherits else "normal"]


def test_refresh_knows_when_it_was_entered() -> None:
    with mode("refresh") as first, mode("refresh") as second:
        assert 0 < first.since <= second.since
        assert current("a.b") == second
    assert current("a.b", Mode("refresh", 5.0)) == ("refresh", 5.0)


@pytest.mark.parametrize("name", ["Refresh", "", "on", None, ["off"]])
def test_an_unknown_mode_names_those_that_there_are(name: Any) -> None:
    with pytest.raises(OptionError, match=r"'normal', 'refresh', 'read-only', 'only-cached', 'off', not"):
        mode(name)


def test_a_pattern_must_be_text() -> None:
    with pytest.raises(OptionError, match="pattern"):
        mode("off", functions=print)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------- bad values warn

SHOW = """
    from memo import settings
    settings.prepare(__file__)
    for _ in range(2):
        print(settings.current("a.b").name, settings.take_clear("a.b"))
"""


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [("MEMO_MODE", "fast", "normal, refresh, read-only, only-cached, off"), ("MEMO_CLEAR", "all of it", "expected 1")],
)
def test_a_bad_variable_costs_one_warning(tmp_path: Path, variable: str, value: str, allowed: str) -> None:
    shown = program(tmp_path, SHOW, **{variable: value})
    assert shown.startswith("normal False\nnormal False\n")
    assert shown.count("MemoWarning") == 1
    assert variable in shown
    assert allowed in shown
    assert "Traceback" not in program(tmp_path, SHOW, **{variable: value, "PYTHONWARNINGS": "error"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[tool.memo]\nmode = "fast"', "normal, refresh, read-only, only-cached, off"),
        ("[tool.memo]\nmode = 3", "mode = 3"),
        ('[tool.memo]\nplace = "x"', "place = 'x'"),
        ("[tool]\nmemo = 3", "no valid TOML with a table"),
        ("[tool.memo", "no valid TOML with a table"),
        ("tool = 3 # memo", "no valid TOML with a table"),
        ("# memo \udcff", "no valid TOML with a table"),
    ],
)
def test_a_bad_pyproject_costs_one_warning(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8", errors="surrogateescape")
    shown = program(tmp_path, SHOW)
    assert shown.startswith("normal False\nnormal False\n")
    assert shown.count("MemoWarning") == 1
    assert said in shown
    assert "pyproject.toml" in shown


def test_what_the_environment_says_now_counts_at_the_first_need_only(tmp_path: Path) -> None:
    shown = program(
        tmp_path,
        """
        import os
        from memo import settings
        os.environ["MEMO_MODE"] = "off"
        print(settings.current("a.b").name)
        os.environ["MEMO_MODE"] = "refresh"
        print(settings.current("a.b").name)
        """,
    )
    assert shown == "off\noff\n"


def test_each_project_has_its_own_mode(tmp_path: Path) -> None:
    for name in ("off", "read-only"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text(f'[tool.memo]\nmode = "{name}"\n')
    shown = program(
        tmp_path,
        """
        from memo import settings
        for start in ("off/a.py", "read-only/b.py", "c.py"):
            print(settings.current("a.b", None, start).name)
        """,
    )
    assert shown == "off\nread-only\nnormal\n"


# ------------------------------------------------------------------------------------------------ clearing once


def test_each_function_is_cleared_once_for_each_request(tmp_path: Path) -> None:
    shown = program(
        tmp_path,
        """
        from memo import settings
        told = []
        settings.on_flags(lambda: told.append(1))
        def ask(): return [settings.take_clear(name) for name in ("shop.a", "shop.b", "till.a")]
        print(ask())
        settings.set_flags(clear=True, functions="shop.*")
        print(ask(), ask())
        settings.set_flags(location="x")
        print(ask())
        settings.set_flags(clear=True)
        print(ask(), ask())
        settings.no_flags()
        settings.set_flags(clear=True)
        print(ask(), len(told))
        """,
    )
    assert shown.splitlines() == [
        "[False, False, False]",
        "[True, True, False] [False, False, False]",
        "[False, False, False]",
        "[True, True, False] [False, False, False]",
        "[True, True, True] 5",
    ]


@pytest.mark.parametrize(("value", "cleared"), [("1", "ab"), ("shop.*", "a"), ("0", ""), ("", "")])
def test_memo_clear_is_1_or_a_pattern(tmp_path: Path, value: str, cleared: str) -> None:
    text = 'from memo.settings import take_clear\nprint("a" * take_clear("shop.f") + "b" * take_clear("till.f"))'
    assert program(tmp_path, text, MEMO_CLEAR=value).strip() == cleared


def test_a_clear_that_fails_is_asked_of_the_next(tmp_path: Path) -> None:
    shown = program(
        tmp_path,
        """
        from memo.settings import take_clear
        try:
            take_clear("a", lambda: 1 / 0)
        except ZeroDivisionError:
            print("failed")
        print(take_clear("a", list), take_clear("a", list))
        """,
        MEMO_CLEAR="1",
    )
    assert shown == "failed\nTrue False\n"


@pytest.mark.parametrize("locks", ["", "import sys; sys.modules['fcntl'] = None"])
def test_no_thread_is_answered_before_the_clear_is_done(tmp_path: Path, locks: str) -> None:
    shown = program(
        tmp_path,
        f"""
        {locks}
        import threading
        from memo.settings import take_clear
        began, answered, cleared = threading.Event(), threading.Event(), []
        def clear():
            began.set()
            cleared.append(not answered.wait(0.3))
        def other():
            began.wait(10)
            take_clear("a")
            answered.set()
            print(cleared)
        thread = threading.Thread(target=other)
        thread.start()
        take_clear("a", clear)
        thread.join()
        """,
        MEMO_CLEAR="1",
    )
    assert shown == "[True]\n"


def test_no_process_is_answered_before_the_clear_is_done(tmp_path: Path) -> None:
    shown = program(
        tmp_path,
        """
        import os, select
        from memo.settings import take_clear
        answer, say = os.pipe()
        def clear():
            if os.fork() == 0:
                os.write(say, str(take_clear("a")).encode())
                os._exit(0)
            print(select.select([answer], [], [], 0.3)[0])
        print(take_clear("a", clear))
        print(os.read(answer, 100))
        """,
        MEMO_CLEAR="1",
    )
    assert shown == "[]\nTrue\nb'False'\n"


def test_a_forked_child_that_ends_does_not_end_the_request(tmp_path: Path) -> None:
    shown = program(
        tmp_path,
        """
        import os, sys
        from memo import settings
        settings.set_flags(clear=True)
        child = os.fork()
        if child == 0:
            sys.exit()
        os.waitpid(child, 0)
        print(settings.take_clear("a"))
        """,
    )
    assert shown == "True\n"


WORKERS = """
    import multiprocessing, os, sys
    from memo import settings
    settings.prepare(__file__)

    def work(number):
        def clear():
            with open("cleared", "a") as file:
                file.write("x")
        settings.take_clear("shop.price", clear)
        mode = settings.current("shop.price")
        return mode.name, mode.since, settings.location(), os.path.exists("cleared"), os.getpid()

    if __name__ == "__main__":
        how, *flags = sys.argv[1:]
        if "flags" in flags:
            settings.set_flags(clear=True, location="/elsewhere", mode="refresh")
        if how == "loky":
            from joblib import Parallel, delayed
            found = Parallel(2)(delayed(work)(i) for i in range(8))
        else:
            with multiprocessing.get_context(how).Pool(2) as pool:
                found = pool.map(work, range(8), chunksize=1)
        found.append(work(0))
        same = {row[:4] for row in found}
        assert len(same) == 1, found
        name, _, location, cleared, _ = found[0]
        print(name, location, cleared, open("cleared").read())
        print(os.environ["MEMO_RUN"])
"""


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver", "loky"])
def test_workers_follow_the_flags_of_the_program_and_clear_once(tmp_path: Path, how: str) -> None:
    shown, told = program(tmp_path, WORKERS, how, "flags").splitlines()
    assert shown == "refresh /elsewhere True x"
    assert not os.path.exists(json.loads(told)["flag"][1])  # what the workers agreed by is gone


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_workers_follow_the_environment_as_of_one_instant_and_clear_once(tmp_path: Path, how: str) -> None:
    shown = program(tmp_path, WORKERS, how, MEMO_CLEAR="1", MEMO_MODE="refresh").splitlines()[0]
    assert shown == "refresh None True x"


def test_another_program_that_is_started_does_not_follow_the_flags(tmp_path: Path) -> None:
    shown = program(
        tmp_path,
        """
        import subprocess, sys
        from memo import settings
        settings.set_flags(clear=True, location="/elsewhere", mode="off")
        ask = "from memo import settings as s; print(s.take_clear('a.b'), s.current('a.b').name, s.location())"
        print(subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout)
        """,
    )
    assert shown.strip() == "False normal None"


def test_a_message_to_workers_that_is_not_ours_is_ignored(tmp_path: Path) -> None:
    for told in ("[1", "[1]", '{"flags": 3, "mode": []}', '{"environment": ["*"]}'):
        assert program(tmp_path, SHOW, MEMO_RUN=told, MEMO_CLEAR="1") == "normal True\nnormal False\n"


# ------------------------------------------------------------------------------------------------------ explain


def test_explain_says_where_each_setting_comes_from(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.memo]\nlocation = "kept"\nmode = "read-only"\n')
    text = "from memo import settings\nfor line in settings.explain(): print(*line)"
    file = tmp_path / "pyproject.toml"
    shown = [
        f"location {tmp_path / 'kept'} {file}",
        f"mode read-only {file}",
        "log off default",
    ]
    assert program(tmp_path, text).splitlines() == shown
    shown = [
        f"location {tmp_path / 'd'} MEMO_DIR",
        "mode off MEMO_MODE",
        "clear a.* MEMO_CLEAR",
        "log info MEMO_LOG",
    ]
    given = {"MEMO_DIR": "d", "MEMO_MODE": "off", "MEMO_CLEAR": "a.*", "MEMO_LOG": "info"}
    assert program(tmp_path, text, **given).splitlines() == shown


def test_settings_load_nothing_heavy(tmp_path: Path) -> None:
    shown = program(
        tmp_path,
        """
        import sys
        import typing
        before = set(sys.modules)
        import memo.settings, memo.events
        memo.settings.prepare(__file__)
        heavy = "pathlib dataclasses logging tomllib json threading multiprocessing tempfile platformdirs blake3".split()
        print(sorted((set(sys.modules) - before) & set(heavy)))
        """,
    )
    assert shown == "[]\n"
