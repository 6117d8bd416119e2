"""A definition's normalised syntax tree: what makes two pieces of source the same code, and which names they read.

Bytecode differs between versions of Python and under ``-O``; ``ast.dump`` differs between versions. This dump is the
same for 3.11 to 3.14: it leaves out positions, docstrings, bare constants, ``pass``, annotations inside functions and
memo's own decorators, and writes the rest in pre-order, each list with its length. One pass makes both the dump
and the scopes, so that a name is known to be a global, a cell, a local or a module imported inside the function.
No recursion: a sum of 5,000 terms is a tree 5,000 levels deep.
"""

from __future__ import annotations

import _ast

from .._tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


Chain = tuple[str, ...]
"""A name and the attributes read from it: ``np.linalg.norm`` is ``("np", "linalg", "norm")``."""

STORED = "="  #: last item of a chain whose attribute is written, not read


class Piece(NamedTuple):
    """What is static about one piece of code."""

    digest: bytes
    reads: tuple[Chain, ...]  #: globals and cells, sorted
    imports: dict[tuple[int, str], frozenset[Chain]]  #: (level, module) imported inside -> what is used of it
    dynamic: frozenset[str]  #: "__subclasses__" ...
    named: frozenset[tuple[str, str]]  #: calls with a constant that may be a module's name: (what is called, name)
    texts: frozenset[str]  #: constants that may be a module's name
    binds: frozenset[str]  #: of a statement at module level: the names that it gives
    names: dict[str, list[tuple[int, str, Chain]]]  #: ... and which of them are modules or come from one
    tree: bool  #: False when it is normalised bytecode, which holds for one version of Python only


class _Scope:
    __slots__ = ("around", "binds", "imports", "kind", "loads", "outer", "parent")

    def __init__(self, parent: _Scope | None, kind: str) -> None:
        self.parent, self.kind = parent, kind
        self.binds: set[str] = set()
        self.outer: set[str] = set()  # declared global
        self.around: set[str] = set()  # declared nonlocal
        self.loads: set[Chain] = set()
        self.imports: dict[str, list[tuple[int, str, Chain]]] = {}


_FUNCTIONS = (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.Lambda)
_COMPREHENSIONS = (_ast.ListComp, _ast.SetComp, _ast.DictComp, _ast.GeneratorExp)
_LEFT_OUT = {"ctx", "kind", "type_comment", "type_ignores", "type_params"}
_BODIES = frozenset({"body", "orelse", "finalbody"})
_layouts: dict[type, tuple[str, tuple[str, ...], bool]] = {}  # tag, fields in reverse, whether it is a block

_GETTING = frozenset({"getattr", "hasattr"})
WIDENING = frozenset({"__subclasses__", "__dict__", "__globals__", "f_globals"})


def may_be_module(text: str) -> bool:
    """``proj.x``, ``.x``, ``proj.x:D``."""
    return text.replace(".", "").replace(":", "", 1).isidentifier()


def _layout(kind: type) -> tuple[str, tuple[str, ...], bool]:
    names = [name for name in kind._fields if name not in _LEFT_OUT]  # type: ignore[attr-defined]
    found = _layouts[kind] = (kind.__name__, tuple(reversed(names)), not _BODIES.isdisjoint(names))
    return found


def _statements(body: list[Any]) -> list[Any]:
    """A body without what does nothing: docstrings, bare constants, ``pass``."""
    return [s for s in body if not (type(s) is _ast.Pass or (type(s) is _ast.Expr and type(s.value) is _ast.Constant))]


def live_statements(body: list[Any]) -> list[Any]:
    """A module's statements, without what runs only when it is a script."""
    found = []
    for statement in _statements(body):
        test = getattr(statement, "test", None)
        if type(statement) is _ast.If and type(test) is _ast.Compare and getattr(test.left, "id", "") == "__name__":
            found += _statements(statement.orelse)
        else:
            found.append(statement)
    return found


def _root_name(node: Any) -> str:
    while True:
        if type(node) is _ast.Call:
            node = node.func
        elif type(node) is _ast.Attribute:
            node = node.value
        else:
            return node.id if type(node) is _ast.Name else ""


def _f_string(values: list[Any]) -> list[Any]:
    """Neighbouring constants joined: where the parser splits them differs between versions."""
    joined: list[Any] = []
    for value in values:
        if type(value) is _ast.Constant and joined and type(joined[-1]) is str:
            joined[-1] += str(value.value)
        elif type(value) is _ast.Constant:
            joined.append(value.value)
        else:
            joined.append(value)
    return [v for v in joined if v != ""]


def constant(value: Any) -> str:
    """A constant with its type and sign, in ASCII (what ``repr`` escapes depends on the Unicode tables)."""
    if type(value) is int and abs(value) > 1 << 1000:
        return hex(value)
    if type(value) is frozenset:
        return "frozenset(" + ",".join(sorted(constant(v) for v in value)) + ")"
    if type(value) is tuple:
        return "(" + ",".join(constant(v) for v in value) + ",)"
    return f"{type(value).__name__}:{value!a}"


def piece_of(root: Any, own: frozenset[str] = frozenset(), body_only: bool = True) -> Piece:
    """The piece for a definition (``body_only``: its decorators and defaults are known as live values) or statement.

    ``own`` are the file's names for memo: decorators that start with one of them never count.
    """
    out: list[str] = []
    emit = out.append
    scope = _Scope(None, "module" if not body_only else "function")
    scopes = [scope]
    imports: dict[tuple[int, str], set[Chain]] = {}
    dynamic: set[str] = set()
    named: set[tuple[str, str]] = set()
    texts: set[str] = set()
    stack: list[Any] = []
    push = stack.append
    name_, attribute, load, constant_ = _ast.Name, _ast.Attribute, _ast.Load, _ast.Constant

    def enter(kind: str) -> None:
        nonlocal scope
        push(scope)  # popped when everything pushed after it is done
        scope = _Scope(scope, kind)
        scopes.append(scope)

    def arguments(args: Any) -> None:
        emit(f"({len(args.posonlyargs)},{len(args.args)},{len(args.kwonlyargs)}")
        for arg in (*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg):
            emit(ascii(arg and arg.arg))
            if arg is not None:
                scope.binds.add(arg.arg)

    def function(node: Any) -> None:
        emit(type(node).__name__)
        if type(node) is _ast.Lambda:
            enter("function")
            push(node.body)
        else:
            emit(node.name)
            enter("function")
            push(_statements(node.body))
            for parameter in getattr(node, "type_params", ()):
                scope.binds.add(parameter.name)
        arguments(node.args)

    def nested(node: Any) -> None:
        if type(node) is not _ast.Lambda:
            scope.binds.add(node.name)
        outside = [node.args.defaults, node.args.kw_defaults]
        if type(node) is not _ast.Lambda:
            outside.append([d for d in node.decorator_list if _root_name(d) not in own])
        # decorators and defaults are evaluated outside: below the body on the stack, so in the scope restored after it
        for part in outside:
            push(part)
        function(node)

    def class_(node: Any) -> None:
        scope.binds.add(node.name)
        emit("ClassDef")
        emit(node.name)
        push([d for d in node.decorator_list if _root_name(d) not in own])
        push(node.keywords)
        push(node.bases)
        enter("class")
        for parameter in getattr(node, "type_params", ()):
            scope.binds.add(parameter.name)
        push(_statements(node.body))

    def comprehension(node: Any) -> None:
        emit(type(node).__name__)
        first = node.generators[0]
        push(first.iter)  # evaluated outside
        enter("comprehension")
        for part in (node.key, node.value) if type(node) is _ast.DictComp else (node.elt,):
            push(part)
        for generator in reversed(node.generators):
            emit(f"for{generator.is_async}")
            push(generator.ifs)
            if generator is not first:
                push(generator.iter)
            push(generator.target)

    def call(node: Any) -> None:
        emit("Call")
        first = node.args[0] if node.args else None
        if type(first) is constant_ and type(first.value) is str and first.value.replace(".", "").isidentifier():
            called = node.func.attr if type(node.func) is attribute else getattr(node.func, "id", "")
            named.add((called, first.value))
        elif type(node.func) is name_ and node.func.id in _GETTING and len(node.args) > 1:
            second = node.args[1]
            if type(second) is constant_ and type(second.value) is str:
                named.add((node.func.id, second.value))
        push(node.keywords)
        push(node.args)
        push(node.func)

    def import_(node: Any) -> None:
        emit("Import")
        for alias in node.names:
            emit(f"{alias.name} as {alias.asname}")
            bound = alias.asname or alias.name.partition(".")[0]
            whole = alias.name if alias.asname else bound
            imports.setdefault((0, alias.name), set())
            scope.binds.add(bound)
            scope.imports.setdefault(bound, []).append((0, whole, ()))

    def import_from(node: Any) -> None:
        level, module = node.level or 0, node.module or ""
        emit(f"ImportFrom {level} {module}")
        for alias in node.names:
            emit(f"{alias.name} as {alias.asname}")
            if alias.name == "*":
                imports.setdefault((level, module), set()).add(())
                continue
            # fetched even if never read
            imports.setdefault((level, module), set()).add((alias.name, STORED))
            bound = alias.asname or alias.name
            scope.binds.add(bound)
            scope.imports.setdefault(bound, []).append((level, module, (alias.name,)))

    def declared(node: Any) -> None:
        emit(type(node).__name__ + " " + ",".join(sorted(node.names)))
        (scope.outer if type(node) is _ast.Global else scope.around).update(node.names)

    def annotated(node: Any) -> None:
        if scope.kind != "class":  # not evaluated in a function; at module level it changes nothing
            if node.value is None:
                if type(node.target) is _ast.Name:
                    scope.binds.add(node.target.id)
                return
            emit("Assign")
            push(node.value)
            push([node.target])
            return
        emit("AnnAssign")
        push(node.value)
        push(node.annotation)
        push(node.target)

    def augmented(node: Any) -> None:
        emit("AugAssign")
        if type(node.target) is _ast.Name:
            scope.loads.add((node.target.id,))
        push(node.value)
        push(type(node.op).__name__)
        push(node.target)

    def walrus(node: Any) -> None:
        emit("NamedExpr")
        holder = scope
        while holder.kind == "comprehension" and holder.parent is not None:
            holder = holder.parent
        holder.binds.add(node.target.id)
        emit(node.target.id)
        push(node.value)

    def binding(node: Any) -> None:
        """except ... as x, case [*x], case {**x}, case _ as x: the name is a plain string."""
        name = node.rest if type(node) is _ast.MatchMapping else node.name
        if name:
            scope.binds.add(name)
        generic(node)

    def generic(node: Any) -> None:
        tag, fields, _ = layouts.get(type(node)) or _layout(type(node))
        emit(tag)
        for field in fields:
            value = getattr(node, field)
            push(_statements(value) if field in _BODIES and type(value) is list else value)

    def f_string(node: Any) -> None:
        emit("JoinedStr")
        push(_f_string(node.values))

    special = {
        _ast.FunctionDef: nested,
        _ast.AsyncFunctionDef: nested,
        _ast.Lambda: nested,
        _ast.ClassDef: class_,
        _ast.ListComp: comprehension,
        _ast.SetComp: comprehension,
        _ast.DictComp: comprehension,
        _ast.GeneratorExp: comprehension,
        _ast.Call: call,
        _ast.Import: import_,
        _ast.ImportFrom: import_from,
        _ast.Global: declared,
        _ast.Nonlocal: declared,
        _ast.AnnAssign: annotated,
        _ast.AugAssign: augmented,
        _ast.NamedExpr: walrus,
        _ast.ExceptHandler: binding,
        _ast.MatchAs: binding,
        _ast.MatchStar: binding,
        _ast.MatchMapping: binding,
        _ast.JoinedStr: f_string,
    }
    layouts = _layouts
    if body_only and type(root) in _FUNCTIONS:
        function(root)
    else:
        push(root)
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind is name_:
            emit("n" + item.id)
            if type(item.ctx) is load:
                scope.loads.add((item.id,))
            else:
                scope.binds.add(item.id)
        elif kind is constant_:
            emit(constant(item.value))
            if type(item.value) is str and may_be_module(item.value):
                texts.add(item.value)
        elif kind is attribute:
            names = [] if type(item.ctx) is load else [STORED]
            while type(item) is attribute:
                names.append(item.attr)
                if item.attr in WIDENING:
                    dynamic.add(item.attr)
                item = item.value
            names.reverse()
            emit("a" + ".".join(names))
            if type(item) is name_:
                emit("n" + item.id)
                scope.loads.add((item.id, *names))
            else:
                push(item)
        elif kind is list:
            emit(f"[{len(item)}")
            stack.extend(reversed(item))
        elif kind is _Scope:
            scope = item
        elif kind in special:
            special[kind](item)
        elif kind in layouts or isinstance(item, _ast.AST):
            tag, fields, block = layouts.get(kind) or _layout(kind)
            if block:
                generic(item)
                continue
            emit(tag)
            for field in fields:
                push(getattr(item, field))
        else:
            emit(ascii(item))

    reads = _resolve(scopes, imports)
    from blake3 import blake3

    return Piece(
        blake3("\0".join(out).encode("utf-8", "surrogatepass")).digest(16),
        tuple(sorted(reads)),
        {where: frozenset(used) for where, used in imports.items()},
        frozenset(dynamic),
        frozenset(named),
        frozenset(texts),
        frozenset() if body_only else frozenset(scopes[0].binds),
        {} if body_only else scopes[0].imports,
        True,
    )


def _resolve(scopes: list[_Scope], imports: dict[tuple[int, str], set[Chain]]) -> set[Chain]:
    """The chains that start at a name bound in none of the scopes around it; uses of local imports go to ``imports``."""
    reads: set[Chain] = set()
    for scope in scopes:
        here = (
            scope.binds - scope.imports.keys() - scope.outer - scope.around
            if scope.kind not in ("class", "module")
            else set()
        )
        for chain in scope.loads:
            name = chain[0]
            if name in here:
                continue
            holder: _Scope | None = scope
            while holder is not None:
                if name in holder.outer:
                    holder = None
                    break
                bound = name in holder.binds and name not in holder.around
                if bound and holder.kind == "class":  # what its body reads may not be bound there yet
                    bound = holder is scope and name in holder.imports
                if bound and holder.kind != "module":
                    break
                holder = holder.parent
            if holder is None:
                reads.add(chain)
            else:
                for level, module, prefix in holder.imports.get(name, ()):
                    imports.setdefault((level, module), set()).add(prefix + chain[1:])
    return reads
