"""Code without source that can be trusted: its own small decoder, and a normalised digest that holds for one Python.

``dis`` takes 5 ms to import and ten times as long to run; only the handful of instructions that read names matter.
"""

from __future__ import annotations

import sys
from types import CodeType

from ._tree import STORED, WIDENING, Chain, Piece, constant, may_be_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = f"py{sys.version_info[0]}.{sys.version_info[1]}"
FUTURE_ANNOTATIONS = 0x1000000  # a console hands it on from cell to cell; what it changes, if anything, is in the code
_HAS_DOCSTRING = 0x4000000  # CO_HAS_DOCSTRING of 3.14; before, the first constant is the docstring or None


def _opcodes() -> dict[int, str]:
    import opcode

    wanted = {
        "LOAD_GLOBAL",
        "LOAD_NAME",
        "LOAD_FROM_DICT_OR_GLOBALS",
        "LOAD_DEREF",
        "LOAD_CLASSDEREF",
        "LOAD_FROM_DICT_OR_DEREF",
        "LOAD_ATTR",
        "LOAD_METHOD",
        "STORE_ATTR",
        "LOAD_CONST",
        "LOAD_SMALL_INT",
        "IMPORT_NAME",
        "IMPORT_FROM",
        "EXTENDED_ARG",
        "CACHE",
        "PUSH_NULL",
    }
    return {number: name for name, number in opcode.opmap.items() if name in wanted}


_names: dict[int, str] = {}


def nested_code(code: CodeType) -> list[CodeType]:
    """The code object and all inside it."""
    found = [code]
    for item in found:
        found.extend(c for c in item.co_consts if type(c) is CodeType)
    return found


def piece_of_code(code: CodeType) -> Piece:
    reads: set[Chain] = set()
    imports: dict[tuple[int, str], set[Chain]] = {}
    constants: set[str] = set()
    attributes: set[str] = set()
    local_cells: set[str] = set()
    for inner in nested_code(code):
        local_cells.update(inner.co_cellvars)
        constants.update(c for c in inner.co_consts if type(c) is str)
        attributes.update(inner.co_names)
        _decode(inner, reads, imports)
    free = set(code.co_freevars)
    reads = {chain for chain in reads if chain[0] not in local_cells or chain[0] in free}
    from blake3 import blake3

    return Piece(
        blake3("\0".join([VERSION, *_flat(code)]).encode("utf-8", "surrogatepass")).digest(16),
        tuple(sorted(reads)),
        {where: frozenset(used) for where, used in imports.items()},
        frozenset(attributes & WIDENING),
        frozenset((called, c) for called in attributes for c in constants if c.replace(".", "").isidentifier()),
        frozenset(c for c in constants if may_be_module(c)),
        frozenset(),
        {},
        False,
    )


def _flat(code: CodeType) -> list[str]:
    """The code without positions, file name and docstring; equal bytes for equal behaviour in one version of Python."""
    out: list[str] = []
    for item in nested_code(code):
        consts: tuple[Any, ...] = item.co_consts
        if consts and type(consts[0]) is str and (sys.version_info < (3, 14) or item.co_flags & _HAS_DOCSTRING):
            if item.co_flags & 3 == 3 or sys.version_info >= (3, 14):  # a function, not a class body or a module
                consts = (None, *consts[1:]) if item.co_name != "<lambda>" else consts
        out += (
            item.co_name,
            item.co_code.hex(),
            item.co_exceptiontable.hex(),
            f"{item.co_argcount} {item.co_posonlyargcount} {item.co_kwonlyargcount} {item.co_flags & ~FUTURE_ANNOTATIONS}",
            *(ascii(names) for names in (item.co_names, item.co_varnames, item.co_freevars, item.co_cellvars)),
            *("code" if type(c) is CodeType else constant(c) for c in consts),
        )
    return out


def _decode(code: CodeType, reads: set[Chain], imports: dict[tuple[int, str], set[Chain]]) -> None:
    if not _names:
        _names.update(_opcodes())
    raw, names = code.co_code, code.co_names
    shifted = sys.version_info >= (3, 12)
    local = code.co_varnames + tuple(c for c in code.co_cellvars if c not in code.co_varnames) + code.co_freevars
    chain: list[str] = []
    consts: list[Any] = []
    module: tuple[int, str] | None = None
    high = 0

    def finish() -> None:
        if chain:
            reads.add(tuple(chain))
            chain.clear()

    for at in range(0, len(raw), 2):
        name = _names.get(raw[at])
        arg = raw[at + 1] | high
        high = 0
        if name == "EXTENDED_ARG":
            high = arg << 8
            continue
        if name in ("CACHE", "PUSH_NULL"):
            continue
        if name == "LOAD_ATTR" or name == "LOAD_METHOD":
            if chain:
                chain.append(names[arg >> 1 if shifted and name == "LOAD_ATTR" else arg])
            continue
        if name == "STORE_ATTR" and chain:
            chain += (names[arg], STORED)
        finish()
        if name == "LOAD_GLOBAL":
            chain.append(names[arg >> 1])
        elif name in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            chain.append(names[arg])
        elif name in ("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"):
            chain.append(local[arg])
        elif name == "LOAD_CONST":
            consts.append(code.co_consts[arg])
        elif name == "LOAD_SMALL_INT":
            consts.append(arg)
        elif name == "IMPORT_NAME":
            level, fetched = consts[-2:] if len(consts) > 1 else (0, None)
            module = (level if type(level) is int else 0, names[arg])
            used = imports.setdefault(module, set())
            if not fetched:
                used.add(())
        elif name == "IMPORT_FROM" and module is not None:
            imports[module].add((names[arg],))
    finish()
