"""The examples as a user runs them: processes of their own, with a cache folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import warm

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

FLAT = '''"""A module."""

def flat(n):
    """Says it."""
    return n
'''

BRANCHING = """
def branching(values):
    if values and values[0] > 1 or not values:
        return [v for v in values if v]
    for v in values:
        def inner():
            while v:
                pass
    return None

class _Private:
    def method(self):
        assert self
"""


@pytest.fixture
def run(tmp_path: Path):
    """Runs an example; returns what it writes to standard output and to standard error."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MEMO_")}
    environment["MEMO_DIR"] = str(tmp_path / "cache")

    def run(example: str, *arguments: object) -> tuple[str, str]:
        command = [EXAMPLES / example, *map(str, arguments)]
        needs = "sklearn.svm sklearn.datasets sklearn.model_selection" if example == "digits.py" else ""
        done = warm.run(command, env=environment, cwd=tmp_path, timeout=300, loaded=needs)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        return done.stdout, done.stderr

    return run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "package").mkdir(parents=True)
    (folder / "flat.py").write_text(FLAT)
    (folder / "package" / "branching.py").write_text(BRANCHING)
    (folder / "package" / "broken.py").write_text("def (:\n")
    return folder


def counted(measured: int, remembered: int, verb: str = "measured") -> str:
    return f"{measured} {verb} now, {remembered} remembered: "


def test_survey_measures_what_is_there(run, project):
    out, _ = run("survey.py", project)
    lines = [line.split() for line in out.splitlines()]
    assert ["modules", "3"] in lines
    assert ["not", "parsed", "1"] in lines
    assert ["classes", "1"] in lines
    assert ["functions", "4"] in lines
    # one more than its if, and, or, comprehension, for
    assert ["6", "package/branching.py:", "branching"] in lines
    assert ["2", "package/branching.py:", "branching.<locals>.inner"] in lines
    assert ["2", "package/branching.py:", "_Private.method"] in lines
    assert ["1", "flat.py:", "flat"] in lines
    assert ["docstring", "coverage", "50.0%"] in lines  # of two modules and two public functions, those of flat.py


def test_survey_remembers_until_a_text_changes(run, project):
    first, err = run("survey.py", project)
    assert counted(3, 0) in err
    second, err = run("survey.py", project)
    assert counted(0, 3) in err
    assert second == first

    (project / "flat.py").write_text(FLAT.replace("return n", "return n if n else None"))
    changed, err = run("survey.py", project)
    assert counted(1, 2) in err
    assert changed != first

    (project / "flat.py").write_text(FLAT)
    again, err = run("survey.py", project)
    assert counted(0, 3) in err  # what was measured of the old text is still there
    assert again == first


def test_survey_takes_the_cache_flags(run, project):
    first, _ = run("survey.py", project)
    cleared, err = run("survey.py", project, "--cache-clear")
    assert counted(3, 0) in err
    bare, err = run("survey.py", project, "--no-cache")
    assert counted(3, 0) in err
    refreshed, err = run("survey.py", project, "--cache-refresh", "--cache-function", "*measure*")
    assert counted(3, 0) in err
    other, err = run("survey.py", project, "--cache-refresh", "--cache-function", "another.*")
    assert counted(0, 3) in err
    assert first == cleared == bare == refreshed == other


def test_survey_of_no_folder_says_so(project):
    command = [sys.executable, str(EXAMPLES / "survey.py"), str(project / "absent")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert "absent is not a folder" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(700)  # some 20 s on a machine with nothing else to do
def test_survey_of_the_standard_library(run):
    first, _ = run("survey.py")
    second, err = run("survey.py")
    assert second == first
    assert err.startswith("0 measured now")


def test_digits_scores_only_what_is_new(run):
    small = ("--kernels", "rbf", "--gammas", "0.001", "--folds", "2", "--costs", "1")
    first, err = run("digits.py", *small)
    assert counted(1, 0, "scored") in err
    again, err = run("digits.py", *small)
    assert counted(0, 1, "scored") in err
    assert again == first
    wider, err = run("digits.py", *small, "2")
    assert counted(1, 1, "scored") in err
    assert set(first.splitlines()[:2]) < set(wider.splitlines())


def test_digits_without_scikit_learn_says_what_to_install():
    program = (
        "import runpy, sys; sys.modules['sklearn'] = None; sys.argv = ['digits.py'];"
        f"runpy.run_path({str(EXAMPLES / 'digits.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert 'pip install "memo-persist[examples]"' in done.stderr
