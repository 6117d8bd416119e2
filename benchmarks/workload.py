"""A recorded workload, and how many seconds each way of evicting saves on it.

    python -m benchmarks.workload        # record it again, into workload.json

What is recorded is a piece of real work: a tool reads modules of the standard library, one after the other as somebody
edits them, and asks five functions about each and about all that it imports: its text, its tokens, its tree, the names
that it defines, and the sizes of its functions' code. So some keys are asked for often (everybody imports `os`), what is
dear is not what is large, and nothing of it was made up to suit a policy. Seconds and bytes of each result are those that
were measured; the replay sleeps a part of the seconds and stores as many bytes, in a cache that has room for a part.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import pickle
import random
import sys
import time
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("workload.json")
CALLS = 4000
#: the part of all results' bytes that there is room for, and that of the recorded seconds which a replay sleeps
ROOM, SCALE = 0.1, 0.1


class Workload(NamedTuple):
    """``results``: (seconds, bytes) of each; ``calls``: numbers of results, in the order of the calls."""

    results: list[tuple[float, int]]
    calls: list[int]

    @property
    def room(self) -> int:
        return int(sum(size for _, size in self.results) * ROOM)


# ------------------------------------------------------------------------------------------------------ to record it


def text(module: str) -> str:
    origin = importlib.util.find_spec(module).origin  # type: ignore[union-attr]
    assert origin is not None
    return Path(origin).read_text(encoding="utf-8")


def tokens(module: str) -> list[tuple[int, str]]:
    return [(token.type, token.string) for token in tokenize.generate_tokens(io.StringIO(text(module)).readline)]


def tree(module: str) -> ast.Module:
    return ast.parse(text(module))


def names(module: str) -> list[str]:
    kinds = ast.FunctionDef | ast.ClassDef
    return sorted({node.name for node in ast.walk(tree(module)) if isinstance(node, kinds)})


def sizes(module: str) -> dict[str, int]:
    found, codes = {}, [compile(text(module), module, "exec", optimize=2)]
    while codes:
        code = codes.pop()
        found[code.co_qualname] = len(code.co_code)
        codes += [constant for constant in code.co_consts if hasattr(constant, "co_code")]
    return found


def imports(module: str) -> list[str]:
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return sorted(name for name in found if readable(name))


def readable(module: str) -> bool:
    if module.partition(".")[0] not in sys.stdlib_module_names or module.startswith(("test", "idlelib", "lib2to3")):
        return False
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return False
    return bool(spec and spec.origin and spec.origin.endswith(".py"))


def work() -> Iterator[tuple[Callable[[str], Any], str]]:
    """The calls, without end. Somebody works on a few modules for a while, then on some others."""
    rng = random.Random(1)
    modules = sorted(name for name in sys.stdlib_module_names if not name.startswith("_") and readable(name))
    while True:
        for module in rng.choices(rng.sample(modules, 3), k=5):
            yield from ((function, module) for function in (text, tokens, tree, sizes))
            for other in imports(module):
                yield from ((function, other) for function in (names, sizes, text))


def record() -> Workload:
    results: dict[tuple[str, str], tuple[int, float, int]] = {}
    calls = []
    for function, module in work():
        key = function.__name__, module
        if key not in results:
            seconds, size = [], 0
            for _ in range(3):
                began = time.perf_counter()
                value = function(module)
                seconds.append(time.perf_counter() - began)
                size = len(pickle.dumps(value, 5))
            results[key] = len(results), round(min(seconds), 6), size
        calls.append(results[key][0])
        if len(calls) == CALLS:
            break
    return Workload([(seconds, size) for _, seconds, size in results.values()], calls)


def load() -> Workload:
    found = json.loads(FILE.read_text())
    return Workload([(seconds, size) for seconds, size in found["results"]], found["calls"])


# ------------------------------------------------------------------------------------------------------ to replay it


def replayed(workload: Workload, evict: str, folder: Path) -> float:
    """Seconds saved, of the recorded ones."""
    from memo import Cache
    from memo.storages import Sqlite

    class Unwatched(Sqlite):
        """Without a front, which would serve what the limits have taken out; as a new process with each call has none."""

        def watch(self, scope: str) -> None:
            return None

    computed = []

    def result(number: int, seconds: float, size: int) -> bytes:
        computed.append(number)
        time.sleep(seconds)
        return bytes(size)

    cache = Cache(storage=Unwatched(folder), max_size=workload.room, evict=evict, strict=True)
    cached = cache.persist(result, code="off", version="1")
    for number in workload.calls:
        seconds, size = workload.results[number]
        cached(number, seconds * SCALE, size)
    return _seconds(workload, workload.calls) - _seconds(workload, computed)


def optimum(workload: Workload) -> float:
    """Seconds that nobody saves more of: an upper bound, by who knows all calls beforehand.

    Each gap between two calls for one result may be bridged by keeping it, which takes its bytes for so long and saves
    its seconds. The best gaps by seconds for each byte and call are taken, as many as fill the room on average over all
    calls, the last of them in part; that the room holds at every single moment is left out, which can only help.
    """
    last: dict[int, int] = {}
    gaps = []
    for at, number in enumerate(workload.calls):
        if number in last:
            seconds, size = workload.results[number]
            gaps.append((seconds, size * (at - last[number])))
        last[number] = at
    left, saved = float(workload.room * len(workload.calls)), 0.0
    for seconds, area in sorted(gaps, key=lambda gap: gap[1] / max(gap[0], 1e-9)):
        part = min(1.0, left / max(area, 1))
        saved, left = saved + seconds * part, left - area * part
        if left <= 0:
            break
    return saved


def saved(peer: str, folder: Path, quick: bool) -> dict[str, float]:
    """The step of the row "evicted": seconds saved by "lru", by "cost", and the "optimum"."""
    workload = load()
    if quick:
        workload = workload._replace(calls=workload.calls[:200])
    return {"": optimum(workload) if peer == "optimum" else replayed(workload, peer, folder / "place")}


def _seconds(workload: Workload, numbers: list[int]) -> float:
    return sum(workload.results[number][0] for number in numbers)


def main() -> None:
    found = record()
    results = ",\n".join(json.dumps(line) for line in found.results)
    FILE.write_text(f'{{"results": [\n{results}\n],\n"calls": {json.dumps(found.calls, separators=(",", ":"))}}}\n')
    everything = _seconds(found, found.calls)
    print(
        f"{len(found.calls)} calls for {len(found.results)} results, {everything:.1f} s in all, room for {found.room} bytes"
    )


if __name__ == "__main__":
    main()
