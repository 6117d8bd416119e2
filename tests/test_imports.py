"""Who may import whom, read from the imports themselves; and what `import memo` may load."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import memo

ROOT = Path(memo.__file__).parent

# Each layer may import those named after it (and what lies in its own package). `_aside`, `_forks`, `_group`, `_living`, `errors`, `model`, `_peers`,
# `_tag`, `_tuples`, `_units` and `_libhdf5` are leaves; `_wrapper` holds text and the set of plain types alone, so the front may know it.
LEAVES = {"_aside", "_forks", "_group", "_living", "errors", "model", "_peers", "_tag", "_tuples", "_units", "_libhdf5"}
CONTRACTS = LEAVES | {"protocols", "_abilities"}
PLUGS = {"fingerprint", "serializers", "codecs", "storages", "policies"}
STEPS = {
    "_beats", "_call", "_clearing", "_entry", "_flight", "_front", "_limits", "_litter", "_lockfile", "_place", "_project", "_saved", "_sweep", "_upkeep", "_uses", "_verify", "events", "settings",
}  # fmt: skip
ENGINE = {
    "_body",
    "_cache",
    "_contradictions",
    "_dependencies",
    "_items",
    "_location",
    "_opened",
    "_opening",
    "explain",
    "sharing",
}
FACE = {
    "_async", "_attempt", "_counts", "_freshness", "_handle", "_kinds", "_made_from", "_map", "_offer", "_options", "_persist", "_plan", "_recording", "_recording_async", "_reference", "_run", "_spot", "_stale", "_state", "_touched", "_wrapper",
    "_opens", "_unseen",
}  # fmt: skip
EDGES = {"_ipython", "flags", "cli", "__main__"}

ALLOWED: dict[str, set[str]] = {
    **dict.fromkeys(LEAVES, LEAVES),
    "protocols": LEAVES,
    "_abilities": CONTRACTS,
    **dict.fromkeys(PLUGS, CONTRACTS),
    **{step: CONTRACTS | STEPS | {"_wrapper"} for step in STEPS},
    **dict.fromkeys(ENGINE, CONTRACTS | STEPS | PLUGS | ENGINE),
    **dict.fromkeys(FACE, CONTRACTS | STEPS | PLUGS | ENGINE | FACE),
    **dict.fromkeys(EDGES, CONTRACTS | STEPS | PLUGS | ENGINE | FACE | EDGES),
    "testing": CONTRACTS | STEPS | PLUGS | ENGINE | FACE | EDGES | {"testing"},
}
# `cache.persist` is `persist` with that cache.
# A storage over two that goes on with one of them has nobody above it that could say so.
EXCEPTIONS = {("_cache", "_persist"), ("_cache", "_front"), ("storages", "events")}


def imports() -> list[tuple[str, str, str, int]]:
    """(importing part, imported part, file, line) for every import of memo within memo, wherever in a file it stands."""
    found = []
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        if parts == ("__init__",):
            continue
        package = ["memo", *parts[:-1]]
        tree = ast.parse(file.read_text(encoding="utf-8"))
        typing_only = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if id(node) in typing_only:
                continue
            if isinstance(node, ast.ImportFrom):
                base = package[: len(package) + 1 - node.level] if node.level else []
                module = [*base, *(node.module.split(".") if node.module else [])]
                names = [[*module, alias.name] for alias in node.names] if len(module) == 1 else [module]
            elif isinstance(node, ast.Import):
                names = [alias.name.split(".") for alias in node.names]
            else:
                continue
            for name in names:
                if name[0] == "memo" and len(name) > 1:
                    found.append((parts[0], name[1], str(file.relative_to(ROOT)), node.lineno))
    return found


def test_every_part_is_in_the_table() -> None:
    parts = {p.stem if p.is_file() else p.name for p in ROOT.iterdir() if p.name != "__pycache__"}
    assert parts - {"__init__", "py"} <= ALLOWED.keys()


def test_arrows_point_down() -> None:
    wrong = [
        f"{file}:{line}: {importing} imports {imported}"
        for importing, imported, file, line in imports()
        if imported != importing
        and imported not in ALLOWED[importing]
        and imported not in ("__version__",)
        and (importing, imported) not in EXCEPTIONS
    ]
    assert wrong == []


HEAVY = {
    "asyncio", "blake3", "cloudpickle", "dataclasses", "dis", "filelock", "inspect", "joblib", "json", "logging",
    "numpy", "pandas", "pathlib", "pickle", "platformdirs", "re", "rich", "sqlite3", "tempfile", "threading", "tomllib",
}  # fmt: skip


@pytest.mark.parametrize("code", ["import memo", "from memo import persist"])
def test_import_is_light(code: str) -> None:
    script = f"import sys; before = set(sys.modules); {code}; print(*sorted(set(sys.modules) - before))"
    out = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True).stdout
    loaded = {name.partition(".")[0] for name in out.split()}
    assert "memo" in loaded
    assert not loaded & HEAVY


PROGRAM = """
import sys
before = set(sys.modules)
from memo import persist

@persist
def f(x):
    return x

f(1)
from memo.cli import main
print(main(["ls"]), *sorted(set(sys.modules) - before))
"""
NEEDLESS = {
    "asyncio",
    "cloudpickle",
    "inspect",
    "joblib",
    "logging",
    "memo.protocols",
    "numpy",
    "platformdirs",
    "typing",
}


def test_a_first_result_and_a_command_load_little(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    line, where = [sys.executable, "program.py"], os.environ | {"MEMO_DIR": "place"}
    for _ in "miss", "hit":
        done = subprocess.run(line, cwd=tmp_path, env=where, capture_output=True, text=True, check=True)
        code, *loaded = done.stdout.splitlines()[-1].split()
        assert code == "0"
        assert "memo.storages.sqlite" in loaded
        assert NEEDLESS.intersection(loaded) == set()


def test_public_names_exist_and_are_sorted() -> None:
    assert list(memo.__all__) == sorted(memo.__all__)
    for name in memo.__all__:
        assert getattr(memo, name) is not None
