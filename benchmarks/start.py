"""What a program pays before its first result: the import alone, and everything up to the first hit; and `memo ls`.

Seconds of the statements in a fresh interpreter that did nothing before. The import is the statement that programs
have, not `import memo`: a package that loads nothing until it is used would win that race by not running it; what is
put off to the decoration or the first call shows in the second row.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

from .functions import reach_5
from .peers import Wrong
from .small import SCALE

IMPORTS = {
    "memo": "from memo import persist",
    "joblib": "from joblib import Memory",
    "diskcache": "from diskcache import Cache",
    "cachier": "from cachier import cachier",
    "checkpointer": "from checkpointer import checkpoint",
}

#: as peers.py does it, which would itself import more than they
DECORATIONS = {
    "memo": "persist(location={folder!r}, code='follow')",
    "joblib": "Memory({folder!r}, verbose=0).cache",
    "diskcache": "Cache({folder!r}).memoize()",
    "cachier": "cachier(cache_dir={folder!r}, separate_files=True)",
    "checkpointer": "checkpoint(directory={folder!r}, verbosity=0)",
}

PROGRAM = """
import time
started = time.perf_counter()
{statements}
seconds = time.perf_counter() - started
import json, sys
print(json.dumps([seconds, sorted(set(sys.modules) & {heavy})]))
"""

#: what memo leaves to those who need it
HEAVY = {"numpy", "joblib", "asyncio", "sqlite3", "cloudpickle", "rich"}


def _fresh(peer: str, *statements: str, heavy: bool, quick: bool) -> float:
    """The median over some interpreters; the first one, which may have compiled the modules, is not counted."""
    program, seconds = PROGRAM.format(statements="\n".join(statements), heavy=HEAVY), []
    for _ in range(2 if quick else 6):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        if done.returncode:
            error = (done.stderr.strip() or f"ended with status {done.returncode}").splitlines()[-1]
            raise ModuleNotFoundError(error, name=peer) if error.startswith("ModuleNotFoundError") else Wrong(error)
        taken, loaded = json.loads(done.stdout)
        if loaded and not heavy:
            raise Wrong(f"{'; '.join(statements)} also loads {', '.join(loaded)}")
        seconds.append(taken)
    return float(median(seconds[1:]))


def imported(peer: str, folder: Path, quick: bool) -> dict[str, float]:
    return {"": _fresh(peer, IMPORTS[peer], heavy=peer != "memo", quick=quick)}


def started(peer: str, folder: Path, quick: bool) -> dict[str, float]:
    """Import, decoration and one hit, of what `small.fill` stored."""
    seconds = _fresh(
        peer,
        IMPORTS[peer],
        "from benchmarks.functions import reach_5",
        f"cached = {DECORATIONS[peer].format(folder=str(folder))}(reach_5)",
        f"result = cached(7, scale={SCALE})",
        "assert result['process'] != __import__('os').getpid(), 'it was computed again'",
        heavy=True,
        quick=quick,
    )
    return {"": seconds}


def placed(peer: str, folder: Path, quick: bool) -> dict[str, float]:
    from memo import Cache

    cached = Cache(folder / "place").persist(reach_5)
    for n in range(100):
        cached(n, scale=SCALE)
    return {}


def listed(peer: str, folder: Path, quick: bool) -> dict[str, float]:
    """A whole process, as somebody at a terminal waits for it; "python" is one that does nothing."""
    words = {"memo": ["-m", "memo", "ls", "-l", str(folder / "place")], "python": ["-c", "pass"]}[peer]
    seconds = []
    for _ in range(2 if quick else 20):
        started = perf_counter()
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
        seconds.append(perf_counter() - started)
        if done.returncode or ("reach_5" in done.stdout) is not (peer == "memo"):
            raise Wrong(done.stderr or done.stdout)
    return {"": median(seconds[1:])}
