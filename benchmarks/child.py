"""One step of one row with one peer: ``python -m benchmarks.child ROW PEER FOLDER STEP [--quick]``.

A process of its own for each, so that no measurement inherits warm caches, open files or imports of another. Prints one
JSON object: the seconds by part, or {"missing": ...} or {"wrong": ...}, in words for a person.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .peers import OTHERS, Wrong
from .rows import ROWS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.child", description="Run one step of one row.")
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("peer")
    parser.add_argument("folder", type=Path)
    parser.add_argument("step", type=int, help="counted from 0")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    row = ROWS[options.row]
    if options.peer not in row.peers or not 0 <= options.step < len(row.steps):
        parser.error(f"{options.row} has the peers {', '.join(row.peers)} and {len(row.steps)} steps")
    try:
        print(json.dumps(row.steps[options.step](options.peer, options.folder, options.quick)))
    except ModuleNotFoundError as error:
        print(json.dumps({"missing": f'{error.name} is not installed: pip install "memo-persist[bench]"'}))
    except Wrong as error:
        print(json.dumps({"wrong": str(error)}))
    except Exception as error:
        if options.peer not in OTHERS:
            raise
        print(json.dumps({"wrong": f"{type(error).__name__}: {error}".splitlines()[0]}))


if __name__ == "__main__":
    main()
