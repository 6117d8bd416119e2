"""Measures every module of the Python standard library that runs it, and remembers each one.

    python examples/survey.py                  # a quarter of a minute the first time, half a second the next
    python examples/survey.py path/to/project  # another folder
    python examples/survey.py --cache-clear    # forget, measure again

The one decision: what is remembered is a function of a module's *text*. A file that was changed has another text, so it
is measured again, and nobody has to compare dates; a file that was only moved or copied is not. Change `complexity`
below and all are measured again, since `measure` calls it.
"""

from __future__ import annotations

import argparse
import ast
import os
import sys
import sysconfig
import time
import warnings
from collections.abc import Iterator
from typing import Any

from memo import flags, persist

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
#: where the flow may go two ways; each adds one to a function's cyclomatic complexity (McCabe, 1976)
BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.Assert,
    ast.comprehension,
    ast.match_case,
)


@persist
def measure(source: bytes) -> dict[str, Any]:
    """The measures of one module; ``{"error": ...}`` for a text that this Python can't parse."""
    lines = source.count(b"\n")
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        return {"lines": lines, "error": f"{type(error).__name__}: {error}"}
    found = list(definitions(tree))
    public = [tree, *(node for name, node in found if not any(part[0] in "_<" for part in name.split(".")))]
    return {
        "lines": lines,
        "classes": sum(isinstance(node, ast.ClassDef) for _, node in found),
        "functions": [
            {"name": name, "complexity": complexity(node), "lines": (node.end_lineno or node.lineno) - node.lineno + 1}
            for name, node in found
            if isinstance(node, FUNCTIONS)
        ],
        "public": len(public),
        "documented": sum(ast.get_docstring(node, clean=False) is not None for node in public),
    }


def definitions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every class and function below ``node``, with its qualified name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, DEFINITIONS):
            name = prefix + child.name
            yield name, child
            yield from definitions(child, f"{name}." if isinstance(child, ast.ClassDef) else f"{name}.<locals>.")
        else:
            yield from definitions(child, prefix)


def complexity(function: ast.AST) -> int:
    """One more than the number of branches; those of functions defined inside are their own."""
    total, waiting = 1, list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, DEFINITIONS):
            continue
        if isinstance(node, BRANCHES):
            total += 1
        elif isinstance(node, ast.BoolOp):
            total += len(node.values) - 1
        waiting.extend(ast.iter_child_nodes(node))
    return total


def modules(root: str) -> list[str]:
    """Paths of all .py files below ``root``, in a fixed order; installed packages are not the standard library."""
    paths = []
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in ("site-packages", "dist-packages", "__pycache__")]
        paths += [os.path.join(folder, name) for name in files if name.endswith(".py")]
    return sorted(filter(os.path.isfile, paths))  # a link may lead nowhere


def report(measured: dict[str, dict[str, Any]], top: int) -> Iterator[str]:
    """The lines for standard output: the same for the same texts, whether measured now or before."""
    parsed = {name: one for name, one in measured.items() if "error" not in one}
    functions = [(name, function) for name, one in parsed.items() for function in one["functions"]]
    public, documented = (sum(one[what] for one in parsed.values()) for what in ("public", "documented"))
    yield f"{'modules':<24}{len(measured):>12,}"
    yield f"{'not parsed':<24}{len(measured) - len(parsed):>12,}"
    yield f"{'lines':<24}{sum(one['lines'] for one in measured.values()):>12,}"
    yield f"{'classes':<24}{sum(one['classes'] for one in parsed.values()):>12,}"
    yield f"{'functions':<24}{len(functions):>12,}"
    if functions:
        yield f"{'mean complexity':<24}{sum(f['complexity'] for _, f in functions) / len(functions):>12.2f}"
    if public:
        yield f"{'docstring coverage':<24}{documented / public:>12.1%}"

    for title, what in (("most complex functions", "complexity"), ("longest functions", "lines")):
        yield f"\n{title}"
        ranked = sorted(functions, key=lambda pair: (-pair[1][what], pair[0], pair[1]["name"]))
        yield from (f"{function[what]:>8,}  {name}: {function['name']}" for name, function in ranked[:top])

    yield "\ndocstring coverage, lowest first (packages with fifty or more public names)"
    packages: dict[str, list[int]] = {}
    for name, one in parsed.items():
        counts = packages.setdefault(name.split(os.sep)[0], [0, 0])
        counts[0] += one["documented"]
        counts[1] += one["public"]
    shares = sorted((known / names, package) for package, (known, names) in packages.items() if names >= 50)
    yield from (f"{share:>8.0%}  {package}" for share, package in shares[:top])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure every Python module below a folder.")
    parser.add_argument("folder", nargs="?", default=sysconfig.get_path("stdlib"), help="default: the standard library")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="how many to list of each kind (default 5)")
    flags.add_arguments(parser)
    options = parser.parse_args()
    if not os.path.isdir(options.folder):
        parser.error(f"{options.folder} is not a folder")
    for remark in (DeprecationWarning, SyntaxWarning):  # of Python's parser, on other people's string escapes
        warnings.simplefilter("ignore", remark)

    started = time.perf_counter()
    measured = {}
    for path in modules(options.folder):
        with open(path, "rb") as file:
            measured[os.path.relpath(path, options.folder)] = measure(file.read())
    for line in report(measured, options.top):
        print(line)

    info, seconds = measure.cache_info(), time.perf_counter() - started
    print(
        f"{len(measured) - info.hits} measured now, {info.hits} remembered: {info.seconds_saved:.1f} s saved, {seconds:.2f} s spent",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
