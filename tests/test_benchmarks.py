"""The benchmark programme: that it measures what it says and notices what it must. No figure is asserted here."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(500)  # a hang bound, for a machine that does much else
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # benchmarks is part of the checkout, not of what is installed

from benchmarks import budgets, curves, floor, plots, report, small, storages, workload  # noqa: E402
from benchmarks.__main__ import environment, main, versions  # noqa: E402
from benchmarks.budgets import Budget  # noqa: E402
from benchmarks.functions import reach_5  # noqa: E402
from benchmarks.peers import Wrong  # noqa: E402
from benchmarks.rows import ROWS  # noqa: E402


def run(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ) | ({"PYTHONPATH": str(path)} if path else {})
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)


@pytest.mark.parametrize("budget", budgets.load(), ids=lambda budget: f"{budget.measure}-{budget.against}")
def test_each_budget_has_its_row(budget):
    assert {budget.of, budget.against} - {"asked"} <= set(ROWS[budget.row].peers)
    assert 0 < budget.limit <= budget.limit_now


OURS = ("memo", "lru", "cost")
ALL = [row for row in ROWS if not ROWS[row].long]
slow = pytest.mark.slow


@pytest.mark.parametrize("rows", [["hit", "key-small", "evicted"], pytest.param(ALL, marks=slow)], ids=["some", "all"])
def test_every_row_runs_and_memo_does_what_is_measured(tmp_path, rows):
    """Wrong results, computed hits and results that were not stored would be among the problems."""
    file = tmp_path / "figures.json"
    asked = [*(f"--only={row}" for row in rows), *(f"--peer={name}" for name in OURS)]
    done = run("--quick", "--json", str(file), "--folder", str(tmp_path), *asked)
    assert done.returncode == 0, done.stderr
    assert "MemoWarning" not in done.stderr
    found = json.loads(file.read_text())
    assert not found["problems"]
    for budget in budgets.load():
        if budget.row in rows:
            assert found["seconds"][budget.measure][budget.of][0] > 0
            assert budget.what in done.stdout
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.slow
def test_every_peer_hits(tmp_path):
    file = tmp_path / "figures.json"
    done = run("--quick", "--only", "hit", "--json", str(file))
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    missing = {line.split(", ")[1].split(":")[0] for line in found["problems"] if "memo-persist[bench]" in line}
    assert len(found["problems"]) == len(missing), found["problems"]
    assert set(found["seconds"]["hit"]) == set(ROWS["hit"].peers) - missing
    assert not found["others"]


def test_the_floor_stores_and_finds_and_stands_beside_the_ratio(tmp_path):
    file = tmp_path / "figures.json"
    done = run(
        *("--quick", "--only", "first", "--only", "miss", "--only", "array"),
        *("--peer", "floor", "--peer", "sqlite3", "--peer", "files", "--json", str(file)),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert not found["problems"]
    assert {row for row, seconds in found["seconds"].items() if "floor" in seconds} == {"first", "miss", "array.store"}
    line = next(line for line in done.stdout.splitlines() if line.startswith("first touch") and "sqlite3" in line)
    ratio, floor = line.split("sqlite3")[1].split()[:2]
    assert ratio == "-"
    assert float(floor.rstrip("x")) > 0


def test_the_floor_notices_what_is_not_as_it_was_stored(tmp_path):
    cached = floor.small(reach_5, tmp_path)
    stored = cached(1, scale=2.0)
    with sqlite3.connect(tmp_path / "results.db") as database:
        database.execute("UPDATE entries SET record = CAST(replace(record, 'value', 'valve') AS BLOB)")
    assert floor.small(reach_5, tmp_path)(1, scale=2.0) == stored


def test_what_a_peer_does_otherwise_is_printed(tmp_path):
    file = tmp_path / "figures.json"
    done = run("--quick", "--only", "argument", "--peer", "lru_cache", "--json", str(file))
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert found["others"] == ["argument, lru_cache: TypeError: unhashable type: 'numpy.ndarray'"]
    assert found["others"][0] in done.stdout


@pytest.mark.parametrize("kinds", [["files"], pytest.param(list(storages.KINDS), marks=slow)], ids=["one", "all"])
def test_every_storage_runs_without_an_error(tmp_path, kinds):
    file = tmp_path / "figures.json"
    asked = kinds if len(kinds) < len(storages.KINDS) else []  # none named: all
    done = run("--quick", "--json", str(file), "--folder", str(tmp_path), "--storages", *asked)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())["storages"]
    assert set(found) == set(kinds)
    for kind, figures in found.items():
        assert figures["errors"] == 0
        assert figures["hit"] > 0
        assert kind in done.stdout
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.slow
def test_curves_are_measured_and_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="the plots need matplotlib")
    file, folder = tmp_path / "figures.json", tmp_path / "plots"
    done = run("--quick", "--plots", str(folder), "--peer", "memo", "--json", str(file))
    assert done.returncode == 0, done.stderr
    curves = json.loads(file.read_text())["curves"]
    assert [at for at, _ in curves["first touch"]["memo"]] == [100, 1000]
    assert [at for at, _ in curves["stored"]["memo"]] == [at for at, _ in curves["loaded"]["memo"]] == [1000, 10_000]
    for name in ("entries.svg", "sizes.svg"):
        drawn = (folder / name).read_text()
        assert "memo" in drawn
        assert str(tmp_path) not in drawn


def test_a_point_of_each_curve_is_measured_and_drawn(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="the plots need matplotlib")
    monkeypatch.setattr(curves, "COUNTS", (100,))
    monkeypatch.setattr(curves, "SIZES", (1000,))
    found, early = curves.measured(tmp_path, environment(), True, ["memo"])
    assert early == []
    assert {name: [at for at, _ in points["memo"]] for name, points in found.items()} == {
        "first touch": [100], "stored": [1000], "loaded": [1000],
    }  # fmt: skip
    for path in plots.written(found, versions(), tmp_path):
        assert "memo" in path.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["entries.svg", "sizes.svg"]


@pytest.mark.parametrize("name", ["entries.svg", "sizes.svg"])
def test_the_figures_of_the_documentation_are_small(name):
    assert (ROOT / "docs" / name).stat().st_size < 60_000
    assert name in (ROOT / "docs" / "benchmarks.md").read_text()


def test_a_curve_that_is_computed_again_is_noticed(tmp_path):
    assert curves.stored("memo", tmp_path, 0, 1000)["stored"] > 0
    with pytest.raises(Wrong, match="computed again"):
        curves.loaded("memo", tmp_path, 0, 1000)  # this very process stored it


def test_the_optimum_is_never_less_than_what_a_policy_saves(tmp_path):
    short = workload.load()
    short = short._replace(calls=short.calls[:120])
    saved = {evict: workload.replayed(short, evict, tmp_path / evict) for evict in ("lru", "cost")}
    assert 0 < max(saved.values()) <= workload.optimum(short) * (1 + 1e-9)


def test_a_storage_that_loses_entries_is_noticed(monkeypatch, tmp_path):
    from memo.storages.memory import Memory

    class Losing(Memory):
        def read(self, name):
            return None if name.endswith("0") else super().read(name)

    monkeypatch.setitem(storages.KINDS, "losing", storages.Kind("", {"storage": Losing()}, entries=5000))
    assert storages.many_again("losing", tmp_path, True)["errors"] == 50  # never stored
    assert storages.many("losing", tmp_path, True)["errors"] == 0
    assert storages.many_again("losing", tmp_path, True)["errors"] > 0


@pytest.mark.slow
def test_a_missing_peer_fails_the_check_with_the_install_line(tmp_path):
    (tmp_path / "diskcache.py").write_text("raise ModuleNotFoundError('no diskcache', name='diskcache')")
    done = run("--check", "--rounds", "1", "--only", "import", path=tmp_path)
    assert done.returncode == 1
    assert 'diskcache is not installed: pip install "memo-persist[bench]"' in done.stderr


def test_a_hit_that_was_computed_is_noticed():
    with pytest.raises(Wrong, match="computed again"):
        small.check(reach_5, reach_5, range(3), stored=True)


def test_a_result_of_another_call_is_noticed():
    stored = reach_5(1, small.SCALE) | {"process": -1}
    with pytest.raises(Wrong, match="instead of"):
        small.check(reach_5, lambda n, scale: dict(stored), range(2, 3), stored=True)


def test_verdicts():
    budget = Budget("a row", "hit", "memo", "sqlite3", None, Fraction(1, 8), Fraction(1, 4))
    said = {
        seconds: budget.verdict(budget.ratio({"hit": {"memo": seconds, "sqlite3": 1.0}}))
        for seconds in (0.125, 0.25, 0.5)
    }
    assert said == {0.125: "ok", 0.25: "ok today", 0.5: "OVER"}
    assert budget.verdict(budget.ratio({"hit": {"memo": 1.0}})) == "NOT MEASURED"


def test_ratios_and_seconds_read_well():
    assert [report.ratio(Fraction(text)) for text in ("1/140", "1/8", "0.13", "2.5")] == [
        "1/140",
        "0.125x",
        "0.13x",
        "2.5x",
    ]
    assert [report.seconds(value) for value in (2.5, 0.0421, 3.46e-6, 2.58e-7)] == [
        "2.5 s",
        "42.1 ms",
        "3.46 µs",
        "258 ns",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nothing"], "invalid choice: 'nothing'"),
        (["--check", "--quick"], "too little for --check"),
        (["--peer", "nobody"], "nobody is called so"),
        (["--check", "--peer", "memo"], "needs every peer"),
        (["--storages", "nothing"], "invalid choice: 'nothing'"),
        (["--storages", "--check"], "no budgets"),
        (["--plots", "plots", "--check"], "no budgets"),
        (["--rounds", "0"], "at least 1"),
        (["--folder", "no/such/folder"], "is not a folder"),
        (["--json", "no/such/folder/figures.json"], "no/such/folder is not a folder"),
    ],
)
def test_bad_options_say_what_is_wrong(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_small_place_stands_for_a_large_one(tmp_path):
    file = tmp_path / "figures.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.scale",
        "--entries",
        "300",
        "--json",
        str(file),
        "--folder",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    figures = {line["what"]: line["figure"] for line in json.loads(file.read_text())}
    assert len(figures) == 11
    assert all(figure > 0 for figure in figures.values())
