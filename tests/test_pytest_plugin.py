"""The plug-in for pytest, in runs of pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import warm

SHOP = """
    from memo import persist

    def note(line):
        with open("computed", "a") as file:
            file.write(line + "\\n")

    @persist
    def square(n):
        note(f"square {n}")
        return n * n

    @persist
    def cube(n):
        note(f"cube {n}")
        return n ** 3
"""
TESTS = """
    import pytest
    from shop import cube, square

    @pytest.mark.parametrize("n", range(4))
    def test_both(n):
        assert (square(2), cube(2), square(2)) == (4, 8, 4)
"""


FEW = ["-p", "memo_pytest", "-p", "xdist"]


class Project:
    def __init__(self, folder: Path, tests: str = TESTS) -> None:
        self.folder = folder
        (folder / "shop.py").write_text(textwrap.dedent(SHOP))
        (folder / "test_shop.py").write_text(textwrap.dedent(tests))

    def __call__(self, *options: str, status: int = 0, autoload: bool = False) -> tuple[list[str], str]:
        """What was computed, and what pytest said. Without ``autoload`` only the plug-ins that matter here: it is faster."""
        computed = self.folder / "computed"
        computed.write_text("")
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *([] if autoload else FEW), *options]
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MEMO_"))},
            "MEMO_DIR": str(self.folder / "place"),
            **({} if autoload else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}),
        }
        if autoload:  # what is loaded is what is asked
            done = subprocess.run(
                [sys.executable, *command], env=environ, cwd=self.folder, capture_output=True, text=True, timeout=100
            )
        else:
            done = warm.run(command, env=environ, cwd=self.folder, loaded="pytest")
        assert done.returncode == status, done.stdout + done.stderr
        return sorted(computed.read_text().splitlines()), done.stdout + done.stderr


BOTH = ["cube 2", "square 2"]


def test_clear_and_modes(tmp_path: Path) -> None:
    run = Project(tmp_path)
    assert run()[0] == BOTH
    assert run()[0] == []
    assert run("--memo-clear")[0] == BOTH
    assert len(run("--memo-mode=off")[0]) == 12
    assert run("--memo-clear", "--memo-mode=refresh")[0] == BOTH
    assert "not allowed with --memo-mode=off" in run("--memo-clear", "--memo-mode=off", status=4)[1]
    assert "invalid choice: 'on'" in run("--memo-mode=on", status=4)[1]


def test_workers_of_xdist_clear_once_in_all(tmp_path: Path) -> None:
    run = Project(tmp_path)
    run()
    for option in ("--memo-clear", "--memo-mode=refresh"):
        assert run("-n", "2", option)[0] == BOTH, option


def test_fixtures(tmp_path: Path) -> None:
    run = Project(
        tmp_path,
        """
        import memo, os
        from shop import square

        def test_ours_before(): assert square(7) == 49
        def computed():
            with open("computed") as file:
                return file.read().splitlines()

        def fresh(memo_cache, tmp_path):
            before = len(computed())
            assert square(7) == square(7) == 49
            assert len(computed()) == before + 1
            @memo_cache.persist
            def twice(n): return 2 * n
            assert twice(4) == 8 and twice.is_cached(4)
            assert square.is_cached(7)
            assert str(tmp_path) in memo_cache.location and (tmp_path / "memo" / "memo.json").exists()

        def test_one(memo_cache, tmp_path): fresh(memo_cache, tmp_path)
        def test_another(memo_cache, tmp_path): fresh(memo_cache, tmp_path)

        def test_off(memo_off):
            before = len(computed())
            square(7), square(7)
            assert len(computed()) == before + 2

        def test_both(memo_cache, memo_off):
            before = len(computed())
            square(7), square(7)
            assert len(computed()) == before + 2

        def test_ours_again():
            before = len(computed())
            square(7)
            assert len(computed()) == before
        """,
    )
    run()
    assert run()[0] == ["square 7"] * 6


def test_memo_is_not_imported_where_it_is_not_used(tmp_path: Path) -> None:
    Project(tmp_path, "import sys\ndef test_it(): assert 'memo_pytest' in sys.modules and 'memo' not in sys.modules\n")(
        autoload=True
    )
