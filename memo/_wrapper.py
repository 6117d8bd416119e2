"""The wrapper's source, generated with the function's own signature; nothing else.

A hit on plain arguments costs a few hundred nanoseconds only if Python itself binds the arguments, so the wrapper is
compiled with the very parameters of the function. It binds, encodes, asks the front, and hands everything else to
``run``. Its closure holds the Runner alone (see ``_run``); names inside are chosen so that no parameter can clash.
"""

from __future__ import annotations

import marshal
from types import CodeType, FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

#: Exact types whose marshal bytes (version 2) are canonical. marshal would take any buffer for bytes: hence the check.
PLAIN = frozenset((int, str, float, bool, type(None), bytes, complex))
SHORT = 1000  #: bytes; a longer encoding is replaced by its digest before it becomes a key of the front

_VARARGS, _VARKEYWORDS = 0x04, 0x08


class Parameters:
    """The shape of a function's parameters, read from its code object: inspect would cost 11 ms to import."""

    __slots__ = ("code", "keyword_only", "names", "positional", "positional_only", "varargs", "varkeywords")

    def __init__(self, code: CodeType) -> None:
        names, positional = code.co_varnames, code.co_argcount
        at = positional + code.co_kwonlyargcount
        self.code = code
        self.positional_only = names[: code.co_posonlyargcount]
        self.positional = names[:positional]
        self.keyword_only = names[positional:at]
        self.varargs = self.varkeywords = ""
        if code.co_flags & _VARARGS:
            self.varargs, at = names[at], at + 1
        if code.co_flags & _VARKEYWORDS:
            self.varkeywords = names[at]
        #: every parameter once: positional, *args, keyword only, **kwargs
        self.names = tuple(n for n in (*self.positional, self.varargs, *self.keyword_only, self.varkeywords) if n)

    def renamed(self, names: dict[str, str]) -> Parameters:
        """The same shape under other names."""
        other = object.__new__(Parameters)
        other.code = self.code
        for part in ("positional_only", "positional", "keyword_only", "names"):
            setattr(other, part, tuple(names[name] for name in getattr(self, part)))
        other.varargs, other.varkeywords = names.get(self.varargs, ""), names.get(self.varkeywords, "")
        return other

    def declaration(self) -> str:
        """The parameter list, without defaults: those are set afterwards."""
        parts = []
        for i, name in enumerate(self.positional):
            if i and i == len(self.positional_only):
                parts.append("/")
            parts.append(name)
        if self.positional and len(self.positional_only) == len(self.positional):
            parts.append("/")
        if self.varargs:
            parts.append("*" + self.varargs)
        elif self.keyword_only:
            parts.append("*")
        parts += self.keyword_only
        if self.varkeywords:
            parts.append("**" + self.varkeywords)
        return ", ".join(parts)

    def arguments(self) -> str:
        """The same as an argument list: calls the function with its own parameters."""
        parts = list(self.positional)
        if self.varargs:
            parts.append("*" + self.varargs)
        parts += [f"{name}={name}" for name in self.keyword_only]
        if self.varkeywords:
            parts.append("**" + self.varkeywords)
        return ", ".join(parts)


def passes_on(function: FunctionType) -> FunctionType | None:
    """What a decorator wrapped, where the wrapper's own signature says nothing: ``(*args, **kwargs)``."""
    own, inner = Parameters(function.__code__), function
    if not (own.varargs and own.varkeywords and len(own.names) == 2):
        return None
    while (wrapped := getattr(inner, "__wrapped__", None)) is not None and isinstance(wrapped, FunctionType):
        inner = wrapped
    return None if inner is function else inner


_BEGIN = """\
def {make}({r}{makers}):
    {define} {name}({declaration}):
        {s} = {r}.state{made}{holds}{direct}
        try:
            {k} = {encoded}
        except {ValueError}:  # marshal knows no text of 2 GB
            {k} = {s}.encode({counted})
        if {len}({k}) > {limit}:
            {k} = {s}.shorten({k})
"""

#: asked once, and before the key is made: what holds when a call begins holds for it
_HOLDS = """
        {v} = {s}.check
        {ok} = {s}.watch[0] == {s}.seen and not {s}.busy and ({v} is None or {v}())"""

#: where plain arguments are of the very types that this function was called with first, they are the key themselves
_DIRECT = """
        if {ok}:
            {kinds}, {k} = {s}.table.direct
            if {same}:
                {v} = {k}({counted}, {none})
                if {v} is not {none}:
                    if {type}({v}) is not {tuple}:
                        {next}({s}.hits)
                        return {v}
                    try:
                        {v} = {v}[0]({v}[1])
                        {next}({s}.hits)
                        return {v}
                    except {Exception}:
                        pass"""

_FRONT = """\
        if {ok}:
            {v} = {s}.front.get({k}, {none})
            if {type}({v}) in {plain}:
                {next}({s}.hits)
                return {v}
            if {type}({v}) is not {tuple}:
                {run}({k}, {values}, {s})
            try:
                {v} = {v}[0]({v}[1])
                {next}({s}.hits)
                return {v}
            except {Exception}:  # a class that can't be loaded any more: run() finds out
                pass
        {run}({k}, {values}, None)
"""

_ITEMS = """\
        if not {ok}:
            {s} = None
        {run}({k}, {values}, {s}){each}
"""

_EACH = """
        try:
            {k} = await {v}.asend(None)
            while True:
                {k} = await {v}.asend((yield {k}))
        except StopAsyncIteration:
            return
        finally:
            await {v}.aclose()"""

_END = """\
    def bind({declaration}):
        return {values}
    def invoke({function}, {v}):
        {unpack}
        return {function}({arguments})
    def encode({v}):
        {s} = {r}.state{unpacked}{made}
        return {encoded_here}
    return {name}, bind, invoke, encode
"""

#: what differs between kinds of functions: how it is defined, what it does with a key, how it hands on what run() gives
_KINDS = {
    "function": ("def", _FRONT, "return {r}.run"),
    "coroutine": ("async def", _FRONT, "return await {r}.run"),
    "generator": ("def", _ITEMS, "return (yield from {r}.run"),
    "async generator": ("async def", _ITEMS, "{v} = await {r}.run"),
}


def is_direct(parameters: Parameters, ignored: Iterable[str], key: object, kind: str) -> bool:
    """Whether the arguments that count can be the key of a front as they are: none is made by ``key``, or of ``*args``."""
    stars = {parameters.varargs, parameters.varkeywords} - {""}
    return key is None and kind in ("function", "coroutine") and stars <= set(ignored)


def generate(
    runner: Any,
    function: FunctionType,
    parameters: Parameters,
    ignored: Iterable[str],
    key: Callable[[Any], Any] | dict[str, Callable[[Any], Any]] | None,
    kind: str = "function",
    is_short: Callable[[tuple[Any, ...]], bool] | None = None,
) -> tuple[FunctionType, FunctionType, FunctionType, FunctionType]:
    """(wrapper, bind, invoke, encode) for ``function``.

    ``bind`` takes a call's arguments and gives the values, one a parameter; ``invoke(function, values)`` calls with
    them; ``encode(values)`` gives the canonical bytes of those that count. ``key`` replaces single values by what its
    functions return of them, or, as one callable of the call, all of them. ``is_short`` says of which values an async
    wrapper makes the key itself; the others go to the runner's ``encoded``.
    """
    prefix = "_memo"
    while any(name.startswith(prefix) for name in parameters.names):
        prefix += "_"
    # compiled with names of its own, which are changed afterwards: so functions of one shape share what is compiled
    names = {name: f"{prefix}{number}" for number, name in enumerate(parameters.names)}
    parameters = parameters.renamed(names)
    ignored = {names.get(name, name) for name in ignored}  # some may be parameters of what a decorator wrapped
    makers = {names[name]: made for name, made in key.items() if name in names} if isinstance(key, dict) else {}
    given = {
        "plain": PLAIN, "short": is_short, "dumps": marshal.dumps, "none": _NONE, "next": next, "type": type, "len": len,
        "tuple": tuple, "ValueError": ValueError, "Exception": Exception,
    }  # fmt: skip
    p = {
        word: f"{prefix}_{word}"
        for word in (
            "make",
            "r",
            "s",
            "k",
            "v",
            "ok",
            "function",
            "key",
            *given,
        )
    }
    counted: list[str] = []
    made: list[str] = []
    for name in parameters.names:
        if name in makers:
            made.append(f"{p['key']}{len(made)} = {prefix}_maker_{name}({name})")
            counted.append(f"{p['key']}{len(made) - 1}")
        elif name not in ignored:
            counted.append(name)
    tuple_ = "(" + "".join(name + ", " for name in counted) + ")"
    stars = {parameters.varargs, parameters.varkeywords}
    if callable(key) or any(name in stars for name in counted):
        encoded = f"{p['s']}.encode({tuple_})"
    else:
        test = " and ".join(f"{p['type']}({name}) in {p['plain']}" for name in counted) or "True"
        encoded = f"{p['dumps']}({tuple_}, 2) if {test} else {p['s']}.encode({tuple_})"
    encoded_here = encoded
    if is_short is not None:
        elsewhere = f"await {p['r']}.encoded({tuple_})"
        plainly = encoded.startswith(p["dumps"])
        encoded = f"{p['dumps']}({tuple_}, 2) if {p['short']}({tuple_}) else {elsewhere}" if plainly else elsewhere
    direct = ""
    if is_direct(parameters, ignored, key, kind):
        kinds = [f"{prefix}_kind_{number}" for number in range(len(counted))]
        direct = _DIRECT.format(
            **p,
            kinds="(" + "".join(one + ", " for one in kinds) + ")",
            same=" and ".join(f"{p['type']}({name}) is {one}" for name, one in zip(counted, kinds, strict=True))
            or "True",
            counted=tuple_,
        )
    define, middle, run = _KINDS[kind]
    values = "(" + "".join(name + ", " for name in parameters.names) + ")"
    unpack = f"{values} = {p['v']}" if parameters.names else "pass"
    source = "".join((_BEGIN, middle, _END)).format(
        **p,
        name="wrapper",
        define=define,
        holds=_HOLDS.format(**p),
        direct=direct,
        run=run.format(**p),
        each={"generator": ")", "async generator": _EACH.format(**p)}.get(kind, ""),
        encoded_here=encoded_here,
        limit=SHORT,
        declaration=parameters.declaration(),
        arguments=parameters.arguments(),
        values=values,
        unpack=unpack,
        unpacked=f"\n        {unpack}",
        encoded=encoded,
        counted=tuple_,
        made="".join("\n        " + line for line in made),
        makers="".join(f", {prefix}_maker_{name}" for name in parameters.names if name in makers),
    )
    # what it uses are globals of its own: closure cells are copied at every call
    scope: dict[str, Any] = {"__name__": function.__module__, **{p[word]: it for word, it in given.items()}}
    exec(_compiled(source, function.__name__), scope)
    ordered = [makers[name] for name in parameters.names if name in makers]
    wrapper, bind, invoke, encode = scope[p["make"]](runner, *ordered)
    real = {own: name for name, own in names.items()}
    for each in (wrapper, bind, invoke):
        each.__code__ = _named(each.__code__, real)
    wrapper.__code__ = wrapper.__code__.replace(co_name=function.__name__, co_qualname=function.__qualname__)
    for made_function in (wrapper, bind):
        made_function.__defaults__, made_function.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    bind.__name__, bind.__qualname__ = function.__name__, function.__qualname__  # for the messages of a wrong call
    return wrapper, bind, invoke, encode


_NONE = (
    Ellipsis  # what front.get() gives for an absent key; pickles as itself, unlike object(), and is never kept plain
)
_codes: dict[str, CodeType] = {}


def _named(code: CodeType, names: dict[str, str]) -> CodeType:
    """Parameters by their real names, also where they are passed on by name: such names are among the constants."""
    return code.replace(
        co_varnames=tuple(names.get(name, name) for name in code.co_varnames),
        co_consts=tuple(
            tuple(names.get(one, one) for one in each)
            if type(each) is tuple and names.keys() & each
            else names.get(each, each)
            if type(each) is str
            else each
            for each in code.co_consts
        ),
    )


def _compiled(source: str, name: str) -> CodeType:
    # functions of equal shape are frequent; compiling costs 100 us, the decoration budget is 200
    code = _codes.get(source)
    if code is None:
        code = _codes[source] = compile(source, f"<memo wrapper of {name}>", "exec")
    return code
