"""Encodes what the fast path does not: any depth, shared and self-referential values, foreign types.

An explicit stack replaces Python's, so depth is limited by memory alone. What was encoded once is remembered by
identity, so a value shared a million times costs one visit; since only complete encodings are remembered, a copy in
its place gives the same bytes. Values on a cycle are found as strongly connected components (Tarjan, 1972) and are
encoded together by refining labels until no more of them differ (Moore's minimisation of automata, 1956): what can't
be told apart by looking inside is equal, wherever one enters, in whatever order sets are walked.
"""

from __future__ import annotations

from ..errors import UnkeyableError
from ._digest import digest
from ._node import BARE, ROOT, Node, Refusal, combine, step
from ._objects import Plans, kind_of
from ._values import flat, fold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._node import Described

FEW = 12  #: children that are worth a try without a frame
ROUNDS = 64  #: of refinement; cycles that need more are labelled by first visit


class _Frame:
    """A node while it is visited. ``parts``: the encodings of its children, or frames where these are not known yet."""

    __slots__ = ("children", "index", "key", "low", "node", "parts", "tied", "value")

    def __init__(self, node: Node, value: Any, index: int) -> None:
        self.node, self.children, self.value, self.key = node, node.children, value, id(value)
        self.parts: list[Any] = []
        self.index = self.low = index
        self.tied = False  #: some parts are frames


def encodings(values: tuple[Any, ...], names: tuple[str, ...], known: list[bytes]) -> list[bytes]:
    """The encodings of all ``values``; the first ones are ``known`` already."""
    plans = Plans()
    done: dict[int, tuple[bytes, Any]] = {}  # by id; the value beside it keeps the id from being used again
    open_: dict[int, _Frame] = {}
    pending: list[_Frame] = []  # Tarjan's stack
    top = _Frame(Node(b"", values, ROOT, names), None, 0)
    top.parts = known
    path = [top]
    visited = 0
    while True:
        frame = path[-1]
        parts = frame.parts
        if len(parts) < len(frame.children):
            child = frame.children[len(parts)]
            part = flat(child, 1)
            if part is not None:
                parts.append(part)
                continue
            if type(child) is Node:
                described: Described = child
            else:
                key = id(child)
                if key in done:
                    parts.append(done[key][0])
                    continue
                if key in open_:
                    parts.append(open_[key])
                    frame.tied = True
                    frame.low = min(frame.low, open_[key].index)
                    continue
                described = _taken_apart(child, plans, path)
                part = described if isinstance(described, bytes) else _at_once(described)
                if part is not None:
                    done[key] = part, child
                    parts.append(part)
                    continue
            visited += 1
            entered = _Frame(described, child, visited)  # type: ignore[arg-type]
            path.append(entered)
            pending.append(entered)
            if type(child) is not Node:
                open_[key] = entered
            continue
        path.pop()
        if not path:
            return parts
        parent = path[-1]
        if frame.low < frame.index:  # on a cycle with something above
            parent.parts.append(frame)
            parent.tied = True
            parent.low = min(parent.low, frame.low)
            continue
        if not frame.tied:
            members, found = [pending.pop()], [fold(combine(frame.node.kind, frame.node.head, parts))]
        else:
            at = next(i for i in range(len(pending) - 1, -1, -1) if pending[i] is frame)
            members = pending[at:]
            del pending[at:]
            found = _refined(members)
        for member, encoding in zip(members, found, strict=True):
            if open_.pop(member.key, None) is not None:
                done[member.key] = encoding, member.value
        parent.parts.append(found[0])


def _taken_apart(value: Any, plans: Plans, path: list[_Frame]) -> Described:
    try:
        return plans[type(value)](value)
    except UnkeyableError as error:  # from a fingerprint inside, of code or by a method of the user
        reason = f"it leads to {error.path}, a {error.kind}: {error.reason}"
        raise UnkeyableError(_where(path), kind_of(value), reason) from error
    except Refusal as refusal:
        raise UnkeyableError(_where(path), kind_of(value), str(refusal)) from refusal.__cause__
    except (MemoryError, RecursionError):
        raise
    except Exception as error:
        reason = f"taking its state raised {type(error).__name__}: {error}"
        raise UnkeyableError(_where(path), kind_of(value), reason) from error


def _at_once(node: Node) -> bytes | None:
    """The encoding of a node with few children, all of them plain: most objects are no more, and need no frame."""
    if len(node.children) > FEW:
        return None
    parts = []
    for child in node.children:
        part = _at_once(child) if type(child) is Node else flat(child, 1)
        if part is None:
            return None
        parts.append(part)
    return fold(combine(node.kind, node.head, parts))


def _refined(members: list[_Frame]) -> list[bytes]:
    """The encodings of the nodes of one cycle, or of several that are tied together; ``members`` by first visit."""
    number = {id(member): i for i, member in enumerate(members)}
    labels = [b""] * len(members)
    classes = rounds = 0
    while True:
        refined = []
        for member, label in zip(members, labels, strict=True):
            parts = [b"\x03" + labels[number[id(part)]] if type(part) is _Frame else part for part in member.parts]
            refined.append(digest(label + combine(member.node.kind, member.node.head, parts)))
        found = len(set(refined))
        if found == classes:
            break
        labels, classes, rounds = refined, found, rounds + 1
        if rounds == ROUNDS:
            labels, classes = [digest(b"%d" % i) for i in range(len(members))], len(members)
    # the classes and what each consists of: together they say all that there is to say
    table = digest(b"".join(sorted(set(refined))))
    return [b"\x03" + digest(label + table) for label in refined]


def _where(path: list[_Frame]) -> str:
    steps = []
    for frame in path:
        node = frame.node
        if node.kind != BARE:
            steps.append(step(node.kind, node.names, len(frame.parts)))
    return "".join(steps)
