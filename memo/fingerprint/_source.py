"""The source of running code, trusted only as far as it compiles to that code.

A file on disk may have been edited since it was imported, a module may have been made by ``exec``, two lambdas may
stand on one line. So each file is read once, parsed and compiled, and a definition counts as the source of a running
function only if its compiled form equals the running one. Otherwise normalised bytecode speaks for the function.
"""

from __future__ import annotations

import _ast
import os
import sys
from _thread import RLock
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType

from .. import _forks
from ._bytecode import FUTURE_ANNOTATIONS, nested_code, piece_of_code
from ._tree import Piece, piece_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

reading = RLock()  #: held by whoever asks for pieces: files are parsed once, and their trees forgotten together


_held = False


def _before_fork() -> None:
    """A child must not begin with what another thread was half through: it would not know the sources it knows here."""
    global _held
    _held = reading.acquire(timeout=_forks.PATIENCE)


def _after_fork_in_parent() -> None:
    if _held:
        reading.release()


def _after_fork_in_child() -> None:
    """Whoever held the lock does not exist in the child."""
    global reading
    reading = RLock()
    for source in () if _held else list(_files.values()):
        source.forget()


_forks.register(_before_fork, _after_fork_in_parent, _after_fork_in_child)

_ONLY_AST = 0x400
_MEMO = __name__.partition(".")[0]
_pieces: dict[int, tuple[CodeType, Piece]] = {}
_files: dict[str, Source] = {}
Signature = tuple[int, int, int, int] | None


class Source:
    """One file as it was read: its text, and on demand its tree and what it compiles to."""

    __slots__ = ("codes", "lambdas", "nodes", "own", "path", "signature", "text", "tree")

    def __init__(self, path: str, text: str | bytes, signature: Signature) -> None:
        self.path = path
        self.text = text
        self.signature = signature
        self.tree: Any = None
        self.own: frozenset[str] = frozenset()
        self.codes: dict[tuple[str, int], list[CodeType]] = {}
        self.nodes: dict[tuple[str, int], list[Any]] = {}
        self.lambdas = False

    def parse(self) -> bool:
        """Tree and compiled code; False when the text is not Python (a file being edited)."""
        if self.tree is None:
            try:
                self.tree = compile(self.text, "<source>", "exec", _ONLY_AST, dont_inherit=True)
                compiled = _kept(self.path, self.signature) or compile(self.tree, "<source>", "exec", dont_inherit=True)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                self.tree = False
                return False
            for code in nested_code(compiled):
                self.codes.setdefault((code.co_name, code.co_firstlineno), []).append(code)
            self._index_definitions()
            self.own = _names_of_memo(self.tree.body)
        return bool(self.tree)

    def forget(self) -> None:
        """The tree, which is large; the text stays."""
        self.tree = None
        self.codes, self.nodes, self.lambdas = {}, {}, False

    def _index_definitions(self) -> None:
        stack: list[Any] = list(self.tree.body)
        while stack:
            node = stack.pop()
            kind = type(node)
            if kind is _ast.FunctionDef or kind is _ast.AsyncFunctionDef:
                first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
                self.nodes.setdefault((node.name, first), []).append(node)
            elif kind is _ast.Match:
                for case in node.cases:
                    stack.extend(case.body)
            for field in ("body", "orelse", "finalbody", "handlers"):
                inner = getattr(node, field, None)
                if type(inner) is list:
                    stack.extend(inner)

    def _index_lambdas(self) -> None:
        self.lambdas = True
        stack: list[Any] = [self.tree]
        while stack:
            node = stack.pop()
            if type(node) is _ast.Lambda:
                self.nodes.setdefault(("<lambda>", node.lineno), []).append(node)
            for field in node._fields:
                value = getattr(node, field, None)
                if type(value) is list:
                    stack.extend(v for v in value if isinstance(v, _ast.AST))
                elif isinstance(value, _ast.AST):
                    stack.append(value)

    def definition(self, code: CodeType) -> Any:
        """The node that compiles to ``code``, or None."""
        if not self.parse():
            return None
        place = (code.co_name, code.co_firstlineno)
        if not any(code == candidate for candidate in self.codes.get(place, ())):
            for (name, line), candidates in self.codes.items():  # moved by an edit elsewhere in the file?
                if name == code.co_name and any(same_code(code, candidate) for candidate in candidates):
                    place = (name, line)
                    code = next(c for c in candidates if same_code(code, c))
                    break
            else:
                return None
        if place[0] == "<lambda>" and not self.lambdas:
            self._index_lambdas()
        nodes = self.nodes.get(place, [])
        if len(nodes) > 1:
            spans = set(code.co_positions())
            nodes = [n for n in nodes if _span(n.body if type(n) is _ast.Lambda else n.body[-1]) in spans]
        return nodes[0] if len(nodes) == 1 else None


def _kept(path: str, signature: Signature) -> CodeType | None:
    """What Python kept of compiling this very text, which saves a third of the time.

    Python itself goes by seconds and size. Here the file must have a time finer than seconds (archives and reproducible
    images give all their files one round time) and be older than what was kept; in doubt it is compiled.
    """
    if signature is None or not signature[0] % 1_000_000_000:
        return None
    try:
        from importlib._bootstrap_external import MAGIC_NUMBER, cache_from_source

        with open(cache_from_source(path), "rb") as file:
            if os.fstat(file.fileno()).st_mtime_ns < signature[0] + 50_000_000:
                return None
            data = file.read()
        seconds, size = signature[0] // 1_000_000_000 & 0xFFFFFFFF, signature[1] & 0xFFFFFFFF
        if data[:16] != MAGIC_NUMBER + bytes(4) + seconds.to_bytes(4, "little") + size.to_bytes(4, "little"):
            return None
        import marshal

        found = marshal.loads(data[16:])
    except Exception:  # no such file, not readable, another implementation of Python
        return None
    return found if type(found) is CodeType else None


def _span(node: Any) -> tuple[int, int, int, int]:
    return (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset)


def _names_of_memo(body: list[Any]) -> frozenset[str]:
    """What memo is called in this file: decorators that start with one of these names never count."""
    names: set[str] = set()
    for node in body:
        if type(node) is _ast.Import:
            names.update((a.asname or _MEMO) for a in node.names if a.name.partition(".")[0] == _MEMO)
        elif type(node) is _ast.ImportFrom and not node.level and (node.module or "").partition(".")[0] == _MEMO:
            names.update(a.asname or a.name for a in node.names)
    return frozenset(names)


def same_code(a: CodeType, b: CodeType) -> bool:
    """Equal but for positions and file names."""
    todo = [(a, b)]
    for x, y in todo:
        if (
            x.co_code != y.co_code
            or x.co_name != y.co_name
            or x.co_names != y.co_names
            or x.co_varnames != y.co_varnames
            or x.co_freevars != y.co_freevars
            or x.co_cellvars != y.co_cellvars
            or (x.co_flags ^ y.co_flags) & ~FUTURE_ANNOTATIONS
            or x.co_argcount != y.co_argcount
            or x.co_kwonlyargcount != y.co_kwonlyargcount
            or x.co_posonlyargcount != y.co_posonlyargcount
            or x.co_exceptiontable != y.co_exceptiontable
            or len(x.co_consts) != len(y.co_consts)
        ):
            return False
        for c, d in zip(x.co_consts, y.co_consts, strict=True):
            if type(c) is CodeType and type(d) is CodeType:
                todo.append((c, d))
            elif _comparable(c) != _comparable(d):
                return False
    return True


def _comparable(value: Any) -> Any:
    """Constants apart by type and sign: 1, 1.0, True; 0.0, -0.0."""
    if type(value) is tuple or type(value) is frozenset:
        inner = [_comparable(v) for v in value]
        return (type(value), tuple(inner) if type(value) is tuple else frozenset(inner))
    return (type(value), repr(value) if type(value) in (float, complex) else value)


def _signature(path: str) -> Signature:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)


def source_of(path: str, again: bool = False) -> Source | None:
    """The file (or notebook cell) of that name, read once; ``again`` looks whether the file changed since."""
    known = _files.get(path)
    if known is not None and not (again and known.signature != _signature(path)):
        return known
    text: str | bytes
    signature = _signature(path)
    if signature is not None and path.endswith((".py", ".pyw")):
        try:
            with open(path, "rb") as file:
                text = file.read()
        except OSError:
            return None
    else:
        linecache = sys.modules.get("linecache")
        kept = linecache.cache.get(path) if linecache else None
        if kept is None and linecache is not None and path.startswith("<"):
            kept = [0, 0, linecache.getlines(path)]
        if kept is None or len(kept) < 3 or not kept[2]:
            return None
        text = "".join(kept[2])
        signature = None
    source = _files[path] = Source(path, text, signature)
    return source


def piece(function: FunctionType) -> Piece:
    """The piece for a running function, by its source if that can be trusted."""
    code = function.__code__
    known = _pieces.get(id(code))
    if known is not None and known[0] is code:
        return known[1]
    found = _from_source(code)
    if len(_pieces) > 20_000:  # code made by exec in a loop
        _pieces.clear()
    if found is None:
        found = piece_of_code(code)
    _pieces[id(code)] = (code, found)
    return found


def _from_source(code: CodeType) -> Piece | None:
    path = code.co_filename
    for again in (False, True):
        before = _files.get(path)
        source = source_of(path, again)
        if source is None or (again and source is before):
            return None
        node = source.definition(code)
        if node is not None:
            return piece_of(node, source.own)
    return None


def text_of(code: CodeType) -> str:
    """The normalised source for a person to compare; "" when there is none to be trusted. Slow: for ``why`` only."""
    source = _files.get(code.co_filename)
    node = source.definition(code) if source is not None else None
    if node is None:
        return ""
    import ast

    parsed: Any = ast.parse(ast.unparse(node)).body[0]
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for inner in ast.walk(parsed):
        if isinstance(inner, definitions):
            inner.returns = None
            for arg in (*inner.args.posonlyargs, *inner.args.args, *inner.args.kwonlyargs):
                arg.annotation = None
        if isinstance(inner, (*definitions, ast.ClassDef)) and ast.get_docstring(inner) is not None:
            inner.body = inner.body[1:] or [ast.Pass()]
    if isinstance(parsed, definitions):
        parsed.decorator_list = []
    return ast.unparse(parsed)


@contextmanager
def without_collector() -> Iterator[None]:
    """Syntax trees are a hundred thousand objects that live together: the cycle collector doubles the time they take."""
    import gc

    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def release() -> None:
    """Forget the trees (they are large); texts stay, so that each file is read once."""
    while len(_files) > 512:
        _files.pop(next(iter(_files)))
    for source in _files.values():
        if source.tree:
            source.forget()
