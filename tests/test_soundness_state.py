"""What else holds code and data: descriptors, metaclasses, registries, models of libraries, state in objects of all kinds.

Each case is a package of its own with an edit inside, ``<<before||after>>``, and may have a ``change()`` that is made between
two calls of one process. Three processes share a place: before the edit, after it, and before it again in another folder
under another hash seed. What `@persist` gives must always be what computing would give just then; a call is computed
again only where code or data are others, and found again where they are the same.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memo

EDIT = re.compile(r"<<(.*?)\|\|(.*?)>>", re.S)
HEADER = "from os import getpid as P\nfrom memo import persist\n"

CASES: dict[str, str] = {
    'descriptor': 'class D:\n  def __get__(s,o,t): return <<1||2>>\nclass C:\n  a=D()\n\n@persist\ndef f(x):\n    return P(), C().a\ndef change():\n    C.a=5\n',
    'descriptor set_name': "class D:\n  def __set_name__(s,o,n): s.n=n+'<<a||b>>'\n  def __get__(s,o,t): return s.n\nclass C:\n  a=D()\n\n@persist\ndef f(x):\n    return P(), C().a\ndef change():\n    C.__dict__['a'].n='z'\n",
    'init_subclass kw': 'class B:\n  def __init_subclass__(cls,k=0): cls.k=k\nclass C(B,k=<<1||2>>): pass\n\n@persist\ndef f(x):\n    return P(), C.k\ndef change():\n    C.k=9\n',
    'metaclass call': 'class M(type):\n  def __call__(cls,*a): return <<1||2>>\nclass C(metaclass=M): pass\n\n@persist\ndef f(x):\n    return P(), C()\ndef change():\n    M.__call__=lambda cls,*a: 9\n',
    'metaclass getattr': "class M(type):\n  def __getattr__(cls,n): return n+'<<a||b>>'\nclass C(metaclass=M): pass\n\n@persist\ndef f(x):\n    return P(), C.zz\ndef change():\n    M.__getattr__=lambda c,n:'q'\n",
    'metaclass new adds': "class M(type):\n  def __new__(m,n,b,d): d['z']=<<1||2>>; return type.__new__(m,n,b,d)\nclass C(metaclass=M): pass\n\n@persist\ndef f(x):\n    return P(), C.z\n",
    'module getattr': "from . import util\n@persist\ndef f(x): return P(), util.zzz\n# --- util.py\ndef __getattr__(n): return n+'<<a||b>>'\n",
    'module getattr data': "from . import util\n@persist\ndef f(x): return P(), util.zzz\ndef change(): util.D['zzz']=7\n# --- util.py\nD={'zzz':<<1||2>>}\ndef __getattr__(n): return D[n]\n",
    'singledispatch': 'import functools\n@functools.singledispatch\ndef g(x): return 0\n@g.register\ndef _(x:int): return <<1||2>>\n\n@persist\ndef f(x):\n    return P(), g(x)\ndef change():\n    g.register(int,lambda x: 9)\n',
    'singledispatch base': 'import functools\n@functools.singledispatch\ndef g(x): return <<1||2>>\n@g.register\ndef _(x:str): return 0\n\n@persist\ndef f(x):\n    return P(), g(x)\ndef change():\n    g.register(int,lambda x: 9)\n',
    'singledispatchmethod': "import functools\nclass C:\n  @functools.singledispatchmethod\n  def g(self,x): return 0\n  @g.register\n  def _(self,x:int): return <<1||2>>\n\n@persist\ndef f(x):\n    return P(), C().g(x)\ndef change():\n    C.__dict__['g'].register(int,lambda s,x: 9)\n",
    'singledispatch via register elsewhere': 'from . import util, reg\n@persist\ndef f(x): return P(), util.g(x)\n# --- util.py\nimport functools\n@functools.singledispatch\ndef g(x): return 0\n# --- reg.py\nfrom .util import g\n@g.register\ndef _(x:int): return <<1||2>>\n',
    'partialmethod': 'import functools\nclass C:\n  def g(self,k): return k\n  h=functools.partialmethod(g,<<1||2>>)\n\n@persist\ndef f(x):\n    return P(), C().h()\ndef change():\n    C.h=functools.partialmethod(C.g,9)\n',
    'contextvar': "import contextvars\nv=contextvars.ContextVar('v',default=<<1||2>>)\n\n@persist\ndef f(x):\n    return P(), v.get()\ndef change():\n    v.set(7)\n",
    'contextvar in ctx': "import contextvars\nv=contextvars.ContextVar('v')\nv.set(<<1||2>>)\nctx=contextvars.copy_context()\n\n@persist\ndef f(x):\n    return P(), ctx[v]\n",
    'ctx.run': "import contextvars\nv=contextvars.ContextVar('v')\nctx=contextvars.copy_context()\nctx.run(v.set,<<1||2>>)\n\n@persist\ndef f(x):\n    return P(), ctx.run(v.get)\n",
    'class attr': 'class C: a=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), C.a\ndef change():\n    C.a=9\n',
    'dc factory': 'import dataclasses\ndef mk(): return [<<1||2>>]\n@dataclasses.dataclass\nclass C:\n  a:list=dataclasses.field(default_factory=mk)\n\n@persist\ndef f(x):\n    return P(), C().a\n',
    'dc factory lambda': "import dataclasses\n@dataclasses.dataclass\nclass C:\n  a:list=dataclasses.field(default_factory=lambda:[<<1||2>>])\n\n@persist\ndef f(x):\n    return P(), C().a\ndef change():\n    global C\n    C=dataclasses.make_dataclass('C',[('a',list,dataclasses.field(default_factory=lambda:[9]))])\n",
    'dc post_init': 'import dataclasses\n@dataclasses.dataclass\nclass C:\n  a:int=0\n  def __post_init__(s): s.a+=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), C().a\ndef change():\n    C.__post_init__=lambda s: None\n',
    'enum member': 'import enum\nclass E(enum.Enum):\n  A=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), E.A.value\n',
    'enum method': 'import enum\nclass E(enum.Enum):\n  A=1\n  def m(s): return <<1||2>>\n\n@persist\ndef f(x):\n    return P(), E.A.m()\ndef change():\n    E.m=lambda s: 9\n',
    'enum missing': 'import enum\nclass E(enum.Enum):\n  A=1\n  @classmethod\n  def _missing_(c,v): return <<E.A||None>>\n@persist\ndef f(x):\n  try: return P(), E(7)\n  except ValueError: return P(), 0\n',
    'enum extra attr': 'import enum\nclass E(enum.Enum):\n  A=1\n  def __init__(s,v): s.extra=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), E.A.extra\ndef change():\n    E.A.extra=9\n',
    'enum auto': 'import enum\nclass E(enum.Enum):\n  <<||Z=enum.auto()>>\n  A=enum.auto()\n\n@persist\ndef f(x):\n    return P(), E.A.value\n',
    'enum generate_next': "import enum\nclass E(enum.Enum):\n  def _generate_next_value_(n,s,c,l): return n+'<<a||b>>'\n  A=enum.auto()\n\n@persist\ndef f(x):\n    return P(), E.A.value\n",
    'loop closures': 'fs=[lambda i=i: i*<<1||2>> for i in range(3)]\n\n@persist\ndef f(x):\n    return P(), [g() for g in fs]\n',
    'loop closure var': 'fs=[]\nfor i in range(<<3||4>>): fs.append(lambda: i)\n\n@persist\ndef f(x):\n    return P(), [g() for g in fs]\ndef change():\n    global i\n    i=9\n',
    'decorator with state': 'def deco(k):\n  def d(fn):\n    def w(*a): return fn(*a),k\n    return w\n  return d\n@deco(<<1||2>>)\ndef g(x): return x\n\n@persist\ndef f(x):\n    return P(), g(x)\n',
    'decorator class': 'class D:\n  def __init__(s,fn): s.fn=fn; s.k=<<1||2>>\n  def __call__(s,*a): return s.fn(*a),s.k\n@D\ndef g(x): return x\n\n@persist\ndef f(x):\n    return P(), g(x)\ndef change():\n    g.k=9\n',
    'namedtuple defaults': 'import typing\nclass N(typing.NamedTuple):\n  a:int=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), N().a\n',
    'namedtuple method': 'import typing\nclass N(typing.NamedTuple):\n  a:int=1\n  def m(s): return <<1||2>>\n\n@persist\ndef f(x):\n    return P(), N().m()\ndef change():\n    N.m=lambda s: 9\n',
    'collections namedtuple defaults': "import collections\nN=collections.namedtuple('N','a',defaults=[<<1||2>>])\n\n@persist\ndef f(x):\n    return P(), N().a\n",
    'attrgetter': "import operator\nclass C: a=1;b=2\nG=operator.attrgetter('<<a||b>>')\n\n@persist\ndef f(x):\n    return P(), G(C)\ndef change():\n    global G\n    G=operator.attrgetter('__name__')\n",
    'methodcaller': "import operator\nclass C:\n  def m(s,k): return k\nG=operator.methodcaller('m',<<1||2>>)\n\n@persist\ndef f(x):\n    return P(), G(C())\ndef change():\n    C.m=lambda s,k:9\n",
    'reduce': 'import functools\ndef g(a,b): return a+b*<<1||2>>\n\n@persist\ndef f(x):\n    return P(), functools.reduce(g,[1,2,3])\ndef change():\n    global g\n    g=lambda a,b:9\n',
    'generator names': 'K=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), list(K*i for i in range(3) if (lambda: K)())\ndef change():\n    global K\n    K=9\n',
    'nested comp': 'K=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), [[K for _ in range(2)] for j in range(K)]\ndef change():\n    global K\n    K=3\n',
    'class-body comp': 'K=<<1||2>>\nclass C:\n  a=[K for _ in range(2)]\n\n@persist\ndef f(x):\n    return P(), C.a\n',
    'lambda dict': "D={'a':lambda x: x+<<1||2>>}\n\n@persist\ndef f(x):\n    return P(), D['a'](x)\ndef change():\n    D['a']=lambda x:9\n",
    'star import': "from .util import *\n@persist\ndef f(x): return P(), g(x)\n# --- util.py\n__all__=['g']\ndef g(x): return x+<<1||2>>\n",
    'star all changes': "from .util import *\n@persist\ndef f(x):\n  try: return P(), h(x)\n  except NameError: return P(), 0\n# --- util.py\n__all__=['g'<<||,'h'>>]\ndef g(x): return x\ndef h(x): return x\n",
    'try import': 'try:\n  from .nothing<<1||2>> import g\nexcept ImportError:\n  def g(x): return x+<<1||2>>\n\n@persist\ndef f(x):\n    return P(), g(x)\n',
    'try import inside': '@persist\ndef f(x):\n  try:\n    from .util import g\n  except ImportError:\n    return P(), 0\n  return P(), g(x)\n# --- <<zz||util>>.py\ndef g(x): return 5\n',
    'monkeypatched instance method': 'import types\nclass C:\n  def m(s): return 0\nc=C()\nc.m=types.MethodType(lambda s: <<1||2>>,c)\n\n@persist\ndef f(x):\n    return P(), c.m()\ndef change():\n    c.m=lambda: 9\n',
    'mutable default': 'def g(x,l=[]):\n  return list(l)+[<<1||2>>]\n\n@persist\ndef f(x):\n    return P(), g(x)\ndef change():\n    g.__defaults__[0].append(3)\n',
    'global write other fn': 'K=<<1||2>>\ndef setk(v):\n  global K\n  K=v\n\n@persist\ndef f(x):\n    return P(), K\ndef change():\n    setk(9)\n',
    'match class': "class A:\n  __match_args__=('<<a||b>>',)\n  a=1;b=2\n@persist\ndef f(x):\n  match A():\n    case A(z): return P(), z\n",
    'walrus global': 'K=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), [y:=K, y][1]\ndef change():\n    global K\n    K=9\n',
    'fstring nested': 'def g(x): return \'<<a||b>>\'\n\n@persist\ndef f(x):\n    return P(), f\'{f"{g(x)}":>3}\'\ndef change():\n    global g\n    g=lambda x:\'z\'\n',
    'fstring spec': "W=<<3||4>>\n\n@persist\ndef f(x):\n    return P(), f'{x:{W}}'\ndef change():\n    global W\n    W=9\n",
    'env const': "import os\nos.environ['PKGX']='<<1||2>>'\nK=os.environ['PKGX']\n\n@persist\ndef f(x):\n    return P(), K\n",
    'pydantic validator': "import pydantic\nclass M(pydantic.BaseModel):\n  a:int=1\n  @pydantic.field_validator('a',mode='before')\n  @classmethod\n  def v(cls,x): return x+<<1||2>>\n\n@persist\ndef f(x):\n    return P(), M(a=1).a\n",
    'pydantic model_validator': "import pydantic\nclass M(pydantic.BaseModel):\n  a:int=1\n  @pydantic.model_validator(mode='after')\n  def v(self): self.__dict__['a']=<<5||6>>; return self\n\n@persist\ndef f(x):\n    return P(), M(a=1).a\n",
    'pydantic computed': 'import pydantic\nclass M(pydantic.BaseModel):\n  a:int=1\n  @pydantic.computed_field\n  @property\n  def b(self)->int: return <<1||2>>\n\n@persist\ndef f(x):\n    return P(), M().model_dump()\n',
    'pydantic serializer': "import pydantic\nclass M(pydantic.BaseModel):\n  a:int=1\n  @pydantic.field_serializer('a')\n  def s(self,v): return <<1||2>>\n\n@persist\ndef f(x):\n    return P(), M().model_dump()\n",
    'pydantic config': "import pydantic\nclass M(pydantic.BaseModel):\n  model_config=pydantic.ConfigDict(<<strict=False||strict=True>>)\n  a:int=1\n@persist\ndef f(x):\n  try: return P(), M(a='1').a\n  except Exception: return P(), 'err'\n",
    'pydantic Annotated validator': 'import pydantic,typing\ndef v(x): return x+<<1||2>>\nI=typing.Annotated[int,pydantic.AfterValidator(v)]\nclass M(pydantic.BaseModel):\n  a:I\n\n@persist\ndef f(x):\n    return P(), M(a=1).a\n',
    'pydantic Field constraint': "import pydantic\nclass M(pydantic.BaseModel):\n  a:int=pydantic.Field(1,gt=<<0||5>>)\n@persist\ndef f(x):\n  try: return P(), M(a=3).a\n  except Exception: return P(), 'err'\n",
    'pydantic default factory': 'import pydantic\nclass M(pydantic.BaseModel):\n  a:list=pydantic.Field(default_factory=lambda:[<<1||2>>])\n\n@persist\ndef f(x):\n    return P(), M().a\n',
    'pydantic root settings private': 'import pydantic\nclass M(pydantic.BaseModel):\n  _p:int=pydantic.PrivateAttr(<<1||2>>)\n\n@persist\ndef f(x):\n    return P(), M()._p\n',
    'pydantic inherited': 'import pydantic\nclass B(pydantic.BaseModel):\n  a:int=<<1||2>>\nclass M(B): pass\n\n@persist\ndef f(x):\n    return P(), M().a\n',
    'pydantic nested': 'import pydantic\nclass B(pydantic.BaseModel):\n  a:int=<<1||2>>\nclass M(pydantic.BaseModel):\n  b:B=pydantic.Field(default_factory=B)\n\n@persist\ndef f(x):\n    return P(), M().b.a\n',
    'pydantic nested by annotation': 'import pydantic\nclass B(pydantic.BaseModel):\n  a:int=<<1||2>>\nclass M(pydantic.BaseModel):\n  b:B\n\n@persist\ndef f(x):\n    return P(), M(b={}).b.a\n',
    'pydantic nested by Optional list': 'import pydantic,typing\nclass B(pydantic.BaseModel):\n  a:int=<<1||2>>\nclass M(pydantic.BaseModel):\n  b:typing.Optional[list[B]]\n\n@persist\ndef f(x):\n    return P(), M(b=[{}]).b[0].a\n',
    'TypeAdapter': 'import pydantic\nclass B(pydantic.BaseModel):\n  a:int=<<1||2>>\nT=pydantic.TypeAdapter(list[B])\n\n@persist\ndef f(x):\n    return P(), T.validate_python([{}])[0].a\n',
    'pydantic dataclass': "import pydantic.dataclasses as pd\n@pd.dataclass\nclass D:\n  a:<<int||str>>=1\n@persist\ndef f(x):\n  try: return P(), D('1').a\n  except Exception: return P(),'e'\n",
    'attrs converter': 'import attrs\n@attrs.define\nclass A:\n  a=attrs.field(converter=lambda v: v+<<1||2>>)\n\n@persist\ndef f(x):\n    return P(), A(1).a\n',
    'attrs validator': "import attrs\n@attrs.define\nclass A:\n  a=attrs.field()\n  @a.validator\n  def _(self,at,v):\n    if v<<<2||>2>>: raise ValueError\n@persist\ndef f(x):\n  try: return P(), A(1).a\n  except ValueError: return P(),'e'\n",
    'attrs default deco': 'import attrs\n@attrs.define\nclass A:\n  a=attrs.field()\n  @a.default\n  def _(self): return <<1||2>>\n\n@persist\ndef f(x):\n    return P(), A().a\n',
    'attrs post init': 'import attrs\n@attrs.define\nclass A:\n  a:int=0\n  def __attrs_post_init__(s): s.a=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), A().a\n',
    'msgspec': 'import msgspec\nclass S(msgspec.Struct):\n  a:int=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), S().a\n',
    'msgspec post': 'import msgspec\nclass S(msgspec.Struct):\n  a:int=0\n  def __post_init__(s): s.a=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), S().a\n',
    'msgspec type': 'import msgspec\nclass S(msgspec.Struct):\n  a:<<int||str>>=0\n@persist\ndef f(x):\n  try: return P(), msgspec.json.decode(b\'{"a":1}\',type=S).a\n  except Exception: return P(),\'e\'\n',
    'msgspec config': "import msgspec\nclass S(msgspec.Struct<<||,rename='upper'>>):\n  a:int=0\n\n@persist\ndef f(x):\n    return P(), msgspec.json.encode(S())\n",
    'msgspec nested factory': 'import msgspec\nclass S(msgspec.Struct):\n  a:list=msgspec.field(default_factory=lambda:[<<1||2>>])\n\n@persist\ndef f(x):\n    return P(), S().a\n',
    'async helper': "import asyncio\nasync def g(x): return x+<<1||2>>\n\n@persist\ndef f(x):\n    return P(), asyncio.run(g(x))\ndef change():\n    global g\n    g=__import__('builtins').compile and h\nasync def h(x): return 9\n",
    'gen helper': 'def g(x):\n  yield x+<<1||2>>\n\n@persist\ndef f(x):\n    return P(), list(g(x))\n',
    'async gen helper': 'import asyncio\nK=<<1||2>>\nasync def g(x):\n  yield x+K\nasync def d(x): return [y async for y in g(x)]\n\n@persist\ndef f(x):\n    return P(), asyncio.run(d(x))\ndef change():\n    global K\n    K=9\n',
    'async ctx': 'import asyncio,contextlib\n@contextlib.asynccontextmanager\nasync def g():\n  yield <<1||2>>\nasync def d():\n  async with g() as v: return v\n\n@persist\ndef f(x):\n    return P(), asyncio.run(d())\n',
    'ctxmanager': 'import contextlib\n@contextlib.contextmanager\ndef g():\n  yield <<1||2>>\n@persist\ndef f(x):\n  with g() as v: return P(), v\n',
    'class attr via instance arg': 'class C:\n  a=<<1||2>>\n@persist\ndef g(c): return P(), c.a\ndef go(): return g(C())\ndef raw(): return g.__wrapped__(C())\ndef change(): C.a=9\n',
    'method on lib-subclass': "import collections\nclass D(collections.UserDict):\n  def __missing__(s,k): return <<1||2>>\n\n@persist\ndef f(x):\n    return P(), D()['q']\ndef change():\n    D.__missing__=lambda s,k:9\n",
    'exception class': 'class E(Exception):\n  code=<<1||2>>\n@persist\ndef f(x):\n  try: raise E\n  except E as e: return P(), e.code\ndef change(): E.code=9\n',
    'subclasses': 'class B: pass\nclass X(B): v=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), [k.v for k in B.__subclasses__()]\ndef change():\n    X.v=9\n',
    'subclass new': "class B: pass\nclass X(B): v=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), [k.v for k in B.__subclasses__()]\ndef change():\n    global Y\n    Y=type('Y',(B,),{'v':5})\n",
    '__class_getitem__': 'class C:\n  def __class_getitem__(c,k): return k+<<1||2>>\n\n@persist\ndef f(x):\n    return P(), C[x]\ndef change():\n    C.__class_getitem__=classmethod(lambda c,k:9)\n',
    '__getattr__ cls': "class C:\n  def __getattr__(s,n): return n+'<<a||b>>'\nc=C()\n\n@persist\ndef f(x):\n    return P(), c.zz\ndef change():\n    C.__getattr__=lambda s,n:'q'\n",
    '__call__ instance': 'class C:\n  def __init__(s,k): s.k=k\n  def __call__(s,x): return x*s.k\ng=C(<<1||2>>)\n\n@persist\ndef f(x):\n    return P(), g(x)\ndef change():\n    g.k=9\n',
    'operator overload': 'class V:\n  def __add__(s,o): return <<1||2>>\n\n@persist\ndef f(x):\n    return P(), V()+V()\ndef change():\n    V.__add__=lambda s,o:9\n',
    'context class': 'class M:\n  def __enter__(s): return <<1||2>>\n  def __exit__(s,*a): pass\n@persist\ndef f(x):\n  with M() as v: return P(), v\ndef change(): M.__enter__=lambda s:9\n',
    'iter class': 'class I:\n  def __iter__(s): yield <<1||2>>\n\n@persist\ndef f(x):\n    return P(), list(I())\ndef change():\n    I.__iter__=lambda s: iter([9])\n',
    'abc register': 'import abc\nclass B(abc.ABC): pass\nclass X: pass\n<<||B.register(X)>>\n\n@persist\ndef f(x):\n    return P(), isinstance(X(),B)\n',
    'abc register in process': 'import abc\nclass B(abc.ABC): pass\nclass X: pass\n\n@persist\ndef f(x):\n    return P(), isinstance(X(),B)\ndef change():\n    B.register(X)\n',
    'subclasshook': 'import abc\nclass B(abc.ABC):\n  @classmethod\n  def __subclasshook__(c,o): return <<True||False>>\n\n@persist\ndef f(x):\n    return P(), issubclass(int,B)\n',
    'protocol': 'import typing\n@typing.runtime_checkable\nclass Pr(typing.Protocol):\n  def <<a||b>>(self): ...\nclass X:\n  def a(self): pass\n\n@persist\ndef f(x):\n    return P(), isinstance(X(),Pr)\n',
    'slots default': "class C:\n  __slots__=('a',)\n  def __init__(s): s.a=<<1||2>>\nc=C()\n\n@persist\ndef f(x):\n    return P(), c.a\ndef change():\n    c.a=9\n",
    'weakref': 'import weakref\nclass C: a=<<1||2>>\nc=C()\nr=weakref.ref(c)\n\n@persist\ndef f(x):\n    return P(), r().a\ndef change():\n    C.a=9\n',
    'weakref inst': 'import weakref\nclass C: pass\nc=C();c.a=<<1||2>>\nr=weakref.ref(c)\n\n@persist\ndef f(x):\n    return P(), r().a\ndef change():\n    c.a=9\n',
    'weakset': 'import weakref\nclass C: pass\nc=C();c.a=<<1||2>>\nr=weakref.WeakSet([c])\n\n@persist\ndef f(x):\n    return P(), [o.a for o in r]\ndef change():\n    c.a=9\n',
    'weakvaluedict': "import weakref\nclass C: pass\nc=C();c.a=<<1||2>>\nr=weakref.WeakValueDictionary(k=c)\n\n@persist\ndef f(x):\n    return P(), r['k'].a\ndef change():\n    c.a=9\n",
    'weakkeydict': 'import weakref\nclass C: pass\nc=C()\nr=weakref.WeakKeyDictionary({c:<<1||2>>})\n\n@persist\ndef f(x):\n    return P(), list(r.values())\ndef change():\n    r[c]=9\n',
    'proxy': 'import weakref\nclass C: pass\nc=C();c.a=<<1||2>>\nr=weakref.proxy(c)\n\n@persist\ndef f(x):\n    return P(), r.a\ndef change():\n    c.a=9\n',
    'zip obj': 'Z=list(zip([<<1||2>>],[3]))\n\n@persist\ndef f(x):\n    return P(), Z\n',
    'lock holder': 'import threading\nclass C:\n  def __init__(s): s.lock=threading.Lock(); s.k=<<1||2>>\nc=C()\n\n@persist\ndef f(x):\n    return P(), c.k\ndef change():\n    c.k=9\n',
    'queue': 'import queue\nQ=queue.Queue()\nQ.put(<<1||2>>)\n\n@persist\ndef f(x):\n    return P(), list(Q.queue)\ndef change():\n    Q.put(3)\n',
    'sqlite conn': "import sqlite3\nD=sqlite3.connect(':memory:')\nD.row_factory=<<None||lambda c,r: r[0]>>\n\n@persist\ndef f(x):\n    return P(), D.execute('select 7').fetchone()\n",
    'template': "import string\nT=string.Template('<<a||b>>$x')\n\n@persist\ndef f(x):\n    return P(), T.substitute(x=1)\ndef change():\n    T.template='zz$x'\n",
    're compiled': "import re\nR=re.compile('<<a||b>>')\n\n@persist\ndef f(x):\n    return P(), bool(R.match('a'))\ndef change():\n    global R\n    R=re.compile('z' if R.match('a') else 'a')\n",
    'struct': "import struct\nS=struct.Struct('<<<i||>i>>')\n\n@persist\ndef f(x):\n    return P(), S.pack(1)\ndef change():\n    global S\n    S=struct.Struct('q')\n",
    'decimal ctx': 'import decimal\nX=decimal.Context(prec=<<3||5>>)\n\n@persist\ndef f(x):\n    return P(), X.divide(1,3)\ndef change():\n    X.prec=9\n',
    'hashlib obj': "import hashlib\nH=hashlib.<<md5||sha1>>\n\n@persist\ndef f(x):\n    return P(), H(b'').hexdigest()\ndef change():\n    global H\n    H=hashlib.sha256\n",
    'hashlib state': "import hashlib\nH=hashlib.md5(b'<<a||b>>')\n\n@persist\ndef f(x):\n    return P(), H.hexdigest()\ndef change():\n    H.update(b'z')\n",
    'codec': "import codecs\nE=codecs.getencoder('<<utf-8||utf-16-le>>')\n\n@persist\ndef f(x):\n    return P(), E('a')[0]\n",
    'socket addr': "A=('h',<<1||2>>)\n\n@persist\ndef f(x):\n    return P(), A[1]\ndef change():\n    global A\n    A=('h',9)\n",
    'argparse': "import argparse\nQ=argparse.ArgumentParser()\nQ.add_argument('--a',default=<<1||2>>)\n\n@persist\ndef f(x):\n    return P(), Q.parse_args([]).a\ndef change():\n    Q.set_defaults(a=9)\n",
    'argparse type': "import argparse\ndef t(s): return s+'<<a||b>>'\nQ=argparse.ArgumentParser()\nQ.add_argument('--a',type=t)\n\n@persist\ndef f(x):\n    return P(), Q.parse_args(['--a','z']).a\n",
    'configparser': "import configparser\nQ=configparser.ConfigParser()\nQ['a']={'b':'<<1||2>>'}\n\n@persist\ndef f(x):\n    return P(), Q['a']['b']\ndef change():\n    Q['a']['b']='9'\n",
    'json encoder': 'import json\nclass E(json.JSONEncoder):\n  def default(s,o): return <<1||2>>\n\n@persist\ndef f(x):\n    return P(), json.dumps({1},default=E().default)\ndef change():\n    E.default=lambda s,o:9\n',
    'json cls': 'import json\nclass E(json.JSONEncoder):\n  def default(s,o): return <<1||2>>\n\n@persist\ndef f(x):\n    return P(), json.dumps([object()],cls=E)\ndef change():\n    E.default=lambda s,o:9\n',
    'functools cmp_to_key': 'import functools\nK=functools.cmp_to_key(lambda a,b: <<a-b||b-a>>)\n\n@persist\ndef f(x):\n    return P(), sorted([1,3,2],key=K)\ndef change():\n    global K\n    K=functools.cmp_to_key(lambda a,b:0)\n',
    'functools wraps attr': 'import functools\ndef d(g):\n  @functools.wraps(g)\n  def w(x): return g(x)+w.k\n  w.k=<<1||2>>\n  return w\n@d\ndef g(x): return x\n\n@persist\ndef f(x):\n    return P(), g(x)\ndef change():\n    g.k=9\n',
    'cache wrapper': 'import functools\n@functools.cache\ndef g(x): return x+<<1||2>>\n\n@persist\ndef f(x):\n    return P(), g(x)\n',
    'lru in class': 'import functools\nclass C:\n  @functools.lru_cache\n  def g(self,x): return x+<<1||2>>\nc=C()\n\n@persist\ndef f(x):\n    return P(), c.g(x)\n',
    'total_ordering': 'import functools\n@functools.total_ordering\nclass C:\n  def __lt__(s,o): return <<True||False>>\n  def __eq__(s,o): return False\n\n@persist\ndef f(x):\n    return P(), C()<=C()\n',
    'nested class const': 'class A:\n  class B:\n    k=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), A.B.k\ndef change():\n    A.B.k=9\n',
    'class with module dict': "D={}\nclass A:\n  d=D\nD['k']=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), A.d['k']\ndef change():\n    D['k']=9\n",
    'type() made': "A=type('A',(),{'k':<<1||2>>})\n\n@persist\ndef f(x):\n    return P(), A.k\ndef change():\n    A.k=9\n",
    'exec made': "ns={}\nexec('def g(x): return x+<<1||2>>',ns)\ng=ns['g']\n\n@persist\ndef f(x):\n    return P(), g(x)\n",
    'exec global dep': "ns={'K':<<1||2>>}\nexec('def g(x): return x+K',ns)\ng=ns['g']\n\n@persist\ndef f(x):\n    return P(), g(x)\ndef change():\n    ns['K']=9\n",
    'eval lambda': "g=eval('lambda x: x+<<1||2>>')\n\n@persist\ndef f(x):\n    return P(), g(x)\n",
    'types.FunctionType': "import types\ndef h(x): return x+K\ng=types.FunctionType(h.__code__,{'K':<<1||2>>})\n\n@persist\ndef f(x):\n    return P(), g(x)\ndef change():\n    g.__globals__['K']=9\n",
    'code.replace': 'def h(x): return x+1\nh.__code__=h.__code__.replace(co_consts=tuple(<<1||2>> if c==1 else c for c in h.__code__.co_consts))\n\n@persist\ndef f(x):\n    return P(), h(x)\n',
    'import as attr chain': 'import PKG.sub.util as u\n@persist\ndef f(x): return P(), u.g(x)\ndef change(): u.g=lambda x:9\n# --- sub/__init__.py\n# --- sub/util.py\ndef g(x): return x+<<1||2>>\n',
    'from pkg init reexport': 'from .sub import g\n@persist\ndef f(x): return P(), g(x)\n# --- sub/__init__.py\nfrom .util import g\n# --- sub/util.py\nK=<<1||2>>\ndef g(x): return x+K\n',
    'conditional def': 'import sys\nif <<True||False>>:\n  def g(x): return 1\nelse:\n  def g(x): return 2\n\n@persist\ndef f(x):\n    return P(), g(x)\n',
    'del global': 'K=1\n<<||del K>>\n@persist\ndef f(x):\n  try: return P(), K\n  except NameError: return P(),0\n',
    'vars()': "from . import util\n@persist\ndef f(x): return P(), vars(util)['K']\ndef change(): util.K=9\n# --- util.py\nK=<<1||2>>\n",
    'dir()': "from . import util\n@persist\ndef f(x): return P(), [n for n in dir(util) if n[:1]!='_']\ndef change(): util.Z=9\n# --- util.py\nK=1\n<<||L=2>>\n",
    'inspect.getmembers': "import inspect\nfrom . import util\n@persist\ndef f(x): return P(), [n for n,_ in inspect.getmembers(util) if n[:1]!='_']\ndef change(): util.Z=9\n# --- util.py\nK=1\n<<||L=2>>\n",
    'class vars': "class C: a=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), vars(C)['a']\ndef change():\n    C.a=9\n",
    'object dict': "class C: pass\nc=C();c.a=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), c.__dict__['a']\ndef change():\n    c.a=9\n",
    'mro lookup': 'class A: k=1\nclass B: k=2\nclass C(<<A,B||B,A>>): pass\n\n@persist\ndef f(x):\n    return P(), C.k\ndef change():\n    A.k=B.k=9\n',
    'super chain': 'class A:\n  def m(s): return <<1||2>>\nclass B(A):\n  def m(s): return super().m()\n\n@persist\ndef f(x):\n    return P(), B().m()\ndef change():\n    A.m=lambda s:9\n',
    'polars frame': "import polars as pl\nD=pl.DataFrame({'a':[<<1||2>>]})\n\n@persist\ndef f(x):\n    return P(), D['a'].to_list()\ndef change():\n    global D\n    D=pl.DataFrame({'a':[9]})\n",
    'polars expr': "import polars as pl\nE=pl.col('a')+<<1||2>>\n\n@persist\ndef f(x):\n    return P(), pl.DataFrame({'a':[1]}).select(E)['a'].to_list()\ndef change():\n    global E\n    E=pl.col('a')*9\n",
    'polars lazy': "import polars as pl\nL=pl.DataFrame({'a':[<<1||2>>]}).lazy()\n\n@persist\ndef f(x):\n    return P(), L.collect()['a'].to_list()\ndef change():\n    global L\n    L=pl.DataFrame({'a':[9]}).lazy()\n",
    'pandas frame attr': "import pandas as pd\nD=pd.DataFrame({'a':[1]})\nD.attrs['k']=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), D.attrs['k']\ndef change():\n    D.attrs['k']=9\n",
    'pandas apply': 'import pandas as pd\ndef g(v): return v+<<1||2>>\n\n@persist\ndef f(x):\n    return P(), pd.Series([1]).apply(g).tolist()\ndef change():\n    global g\n    g=lambda v:9\n',
    'sklearn like estimator': 'class E:\n  def __init__(s,a=1): s.a=a\n  def fit(s): return s.a+<<1||2>>\n@persist\ndef g(e): return P(), e.fit()\ndef go(): return g(E())\ndef raw(): return g.__wrapped__(E())\ndef change(): E.fit=lambda s:9\n',
    'tz': "import zoneinfo\nZ=zoneinfo.ZoneInfo('<<UTC||Europe/Rome>>')\n\n@persist\ndef f(x):\n    return P(), Z.key\ndef change():\n    global Z\n    Z=zoneinfo.ZoneInfo('Asia/Tokyo')\n",
    'star unpack kwargs': "D={'a':<<1||2>>}\ndef g(a): return a\n\n@persist\ndef f(x):\n    return P(), g(**D)\ndef change():\n    D['a']=9\n",
    'type alias 312': 'import typing\nT=typing.Literal[<<1||2>>]\n\n@persist\ndef f(x):\n    return P(), typing.get_args(T)\ndef change():\n    global T\n    T=typing.Literal[9]\n',
    'newtype': "import typing\nN=typing.NewType('N',<<int||str>>)\n\n@persist\ndef f(x):\n    return P(), N.__supertype__.__name__\n",
    'typeddict': 'import typing\nclass T(typing.TypedDict):\n  a:<<int||str>>\n\n@persist\ndef f(x):\n    return P(), str(T.__annotations__)\n',
    'ast literal': "S='[<<1||2>>]'\nimport ast\n\n@persist\ndef f(x):\n    return P(), ast.literal_eval(S)\ndef change():\n    global S\n    S='9'\n",
    'func attr cache': 'def g(x):\n  return g.k+<<1||2>>\ng.k=1\n\n@persist\ndef f(x):\n    return P(), g(x)\ndef change():\n    g.k=5\n',
    'func dict cache': 'def g(x): return g.cache.get(x,<<1||2>>)\ng.cache={}\n\n@persist\ndef f(x):\n    return P(), g(x)\ndef change():\n    g.cache[1]=9\n',
    'bound method global': 'class C:\n  def __init__(s): s.k=<<1||2>>\n  def m(s,x): return x+s.k\nm=C().m\n\n@persist\ndef f(x):\n    return P(), m(x)\ndef change():\n    m.__self__.k=9\n',
    'classmethod global': 'class C:\n  k=<<1||2>>\n  @classmethod\n  def m(c,x): return x+c.k\nm=C.m\n\n@persist\ndef f(x):\n    return P(), m(x)\ndef change():\n    C.k=9\n',
    'property lib func': "import operator\nclass C:\n  def __init__(s): s._k=<<1||2>>\n  k=property(operator.attrgetter('_k'))\nc=C()\n\n@persist\ndef f(x):\n    return P(), c.k\ndef change():\n    c._k=9\n",
    'event': 'import threading\nE=threading.Event()\n\n@persist\ndef f(x):\n    return P(), E.is_set()\ndef change(): E.set()\n',
    'async gen nested consts': 'import asyncio\nK=<<1||2>>\nclass A:\n  async def __aenter__(s): return K\n  async def __aexit__(s,*a): pass\nasync def g():\n  async with A() as v: return v\n\n@persist\ndef f(x):\n    return P(), asyncio.run(g())\ndef change():\n    global K\n    K=9\n',
    'async iterator class': 'import asyncio\nclass A:\n  def __aiter__(s): s.n=0; return s\n  async def __anext__(s):\n    s.n+=1\n    if s.n><<2||3>>: raise StopAsyncIteration\n    return s.n\nasync def g(): return [i async for i in A()]\n\n@persist\ndef f(x):\n    return P(), asyncio.run(g())\ndef change():\n    A.__aiter__=lambda s: h()\nasync def h():\n  yield 9\n',
    'gather helpers': 'import asyncio\nasync def a(x): return x+<<1||2>>\nasync def g(x): return await asyncio.gather(*[a(i) for i in range(2)])\n\n@persist\ndef f(x):\n    return P(), asyncio.run(g(x))\ndef change():\n    global a\n    a=b\nasync def b(x): return 9\n',
    'yield from': 'def a():\n  yield <<1||2>>\ndef b():\n  yield from a()\n\n@persist\ndef f(x):\n    return P(), list(b())\ndef change():\n    global a\n    a=lambda: iter([9])\n',
    'generator send': 'def g():\n  v=yield\n  yield v*<<1||2>>\n@persist\ndef f(x):\n  q=g(); next(q); return P(), q.send(3)\n',
    'lib attr deep': 'import xml.etree.ElementTree as ET\nET.PKG=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), ET.PKG\ndef change():\n    ET.PKG=9\n',
    'lib submodule patched': 'import os.path\nos.path.PKG=lambda x: <<1||2>>\n\n@persist\ndef f(x):\n    return P(), os.path.PKG(x)\ndef change():\n    os.path.PKG=lambda x: 9\n',
    'lib patched via from module alias': 'import json as j\nj.PKG=lambda x:<<1||2>>\ndef h(x): return j.PKG(x)\n\n@persist\ndef f(x):\n    return P(), h(x)\ndef change():\n    j.PKG=lambda x: 9\n',
    'lib patched with class instance': 'import json\nclass K:\n  def __call__(s,x): return <<1||2>>\njson.PKG=K()\n\n@persist\ndef f(x):\n    return P(), json.PKG(x)\ndef change():\n    K.__call__=lambda s,x: 9\n',
    'lib patched with bound method': 'import json\nclass K:\n  v=<<1||2>>\n  def m(s,x): return s.v\njson.PKG=K().m\n\n@persist\ndef f(x):\n    return P(), json.PKG(x)\ndef change():\n    K.v=9\n',
    'lib enum-like dict of functions': "import json\njson.PKG={'a':lambda x: <<1||2>>}\n\n@persist\ndef f(x):\n    return P(), json.PKG['a'](x)\ndef change():\n    json.PKG['a']=lambda x: 9\n",
    'lib tuple with fn': 'import json\njson.PKG=(lambda x: <<1||2>>,)\n\n@persist\ndef f(x):\n    return P(), json.PKG[0](x)\ndef change():\n    json.PKG=(lambda x: 9,)\n',
    'lib list with fn': 'import json\njson.PKG=[lambda x: <<1||2>>]\n\n@persist\ndef f(x):\n    return P(), json.PKG[0](x)\ndef change():\n    json.PKG[0]=lambda x: 9\n',
    'lib frozen dc': 'import json,dataclasses\n@dataclasses.dataclass(frozen=True)\nclass D: a:int\njson.PKG=D(<<1||2>>)\n\n@persist\ndef f(x):\n    return P(), json.PKG.a\ndef change():\n    json.PKG=D(9)\n',
    'lib None to value': 'import json\n<<json.PKG=None||json.PKG=2>>\n\n@persist\ndef f(x):\n    return P(), json.PKG\ndef change():\n    json.PKG=9\n',
    'lib read in default': 'import json\njson.PKG=<<1||2>>\ndef h(a=json.PKG): return a\n\n@persist\ndef f(x):\n    return P(), h()\n',
    'lib read in class body': 'import json\njson.PKG=<<1||2>>\nclass K:\n  a=json.PKG\n\n@persist\ndef f(x):\n    return P(), K.a\ndef change():\n    K.a=9\n',
    'lib read in lambda': 'import json\njson.PKG=<<1||2>>\nh=lambda: json.PKG\n\n@persist\ndef f(x):\n    return P(), h()\ndef change():\n    json.PKG=9\n',
    'lib read in method of arg': 'import json\njson.PKG=<<1||2>>\nclass K:\n  def m(s): return json.PKG\n@persist\ndef g(k): return P(), k.m()\ndef go(): return g(K())\ndef raw(): return g.__wrapped__(K())\ndef change(): json.PKG=9\n',
    'lib read in fn arg': 'import json\njson.PKG=<<1||2>>\ndef m(): return json.PKG\n@persist\ndef g(k): return P(), k()\ndef go(): return g(m)\ndef raw(): return g.__wrapped__(m)\ndef change(): json.PKG=9\n',
    'lib patched fn arg': 'import json\ndef m(x): return json.PKG(x)\njson.PKG=lambda x:<<1||2>>\n@persist\ndef g(k): return P(), k(1)\ndef go(): return g(m)\ndef raw(): return g.__wrapped__(m)\ndef change(): json.PKG=lambda x:9\n',
    'lib data list read in fn arg': 'import json\njson.PKG=[<<1||2>>]\ndef m(): return list(json.PKG)\n@persist\ndef g(k): return P(), k()\ndef go(): return g(m)\ndef raw(): return g.__wrapped__(m)\ndef change(): json.PKG.append(9)\n',
    'lib read through container fn': 'import json\njson.PKG=<<1||2>>\nH=[lambda: json.PKG]\n\n@persist\ndef f(x):\n    return P(), H[0]()\ndef change():\n    json.PKG=9\n',
    'builtins via fn arg': 'import builtins\nbuiltins.PKG=<<1||2>>\ndef m(): return PKG\n@persist\ndef g(k): return P(), k()\ndef go(): return g(m)\ndef raw(): return g.__wrapped__(m)\ndef change(): builtins.PKG=9\n',
    'thread local fn arg': 'import threading\nL=threading.local()\nL.a=<<1||2>>\ndef m(): return L.a\n@persist\ndef g(k): return P(), k()\ndef go(): return g(m)\ndef raw(): return g.__wrapped__(m)\ndef change(): L.a=9\n',
    'thread local by getattr default': "import threading\nL=threading.local()\n<<||L.a=1>>\n\n@persist\ndef f(x):\n    return P(), getattr(L,'a',0)\ndef change():\n    L.a=9\n",
    'thread local in class': 'import threading\nclass K:\n  L=threading.local()\nK.L.a=<<1||2>>\n\n@persist\ndef f(x):\n    return P(), K.L.a\ndef change():\n    K.L.a=9\n',
    'getattr chain': "from . import util\n@persist\ndef f(x): return P(), getattr(getattr(util,'sub'),'K')\ndef change(): util.sub.K=9\n# --- util.py\nfrom . import sub\n# --- sub.py\nK=<<1||2>>\n",
    'operator.attrgetter module': "import operator\nfrom . import util\n@persist\ndef f(x): return P(), operator.attrgetter('K')(util)\ndef change(): util.K=9\n# --- util.py\nK=<<1||2>>\n",
    'module in list': 'from . import util\nM=[util]\n@persist\ndef f(x): return P(), M[0].K\ndef change(): util.K=9\n# --- util.py\nK=<<1||2>>\n',
    'module as arg': 'from . import util\n@persist\ndef g(m): return P(), m.K\ndef go(): return g(util)\ndef raw(): return g.__wrapped__(util)\ndef change(): util.K=9\n# --- util.py\nK=<<1||2>>\n',
    'module new name as arg': "from . import util\n@persist\ndef g(m): return P(), getattr(m,'N',0)\ndef go(): return g(util)\ndef raw(): return g.__wrapped__(util)\ndef change(): util.N=9\n# --- util.py\n<<K||N>>=1\n",
    'descriptor on metaclass': 'class M(type):\n  @property\n  def z(c): return <<1||2>>\nclass A(metaclass=M): pass\n\n@persist\ndef f(x):\n    return P(), A.z\ndef change():\n    M.z=property(lambda c: 9)\n',
    'property setter state': 'class A:\n  _v=<<1||2>>\n  @property\n  def v(s): return A._v\na=A()\n\n@persist\ndef f(x):\n    return P(), a.v\ndef change():\n    A._v=9\n',
    'callable default arg': 'def d(): return <<1||2>>\ndef g(k=d): return k()\n\n@persist\ndef f(x):\n    return P(), g()\ndef change():\n    g.__defaults__=(lambda: 9,)\n',
    'kw default callable': "def d(): return <<1||2>>\ndef g(*,k=d): return k()\n\n@persist\ndef f(x):\n    return P(), g()\ndef change():\n    g.__kwdefaults__['k']=lambda: 9\n",
    'nested partial': 'import functools\ndef g(a,b,c): return a,b,c\nh=functools.partial(functools.partial(g,<<1||2>>),5)\n\n@persist\ndef f(x):\n    return P(), h(x)\n',
    'module class swap': 'import types\nfrom . import util\nclass M(types.ModuleType):\n  @property\n  def z(s): return <<1||2>>\nutil.__class__=M\n@persist\ndef f(x): return P(), util.z\ndef change(): M.z=property(lambda s:9)\n# --- util.py\n',
    'object with a lock only': "import threading\nclass K:\n  def __init__(s): s.lock=threading.Lock()\nk=K()\n<<||k.a=1>>\n@persist\ndef f(x): return P(), getattr(k,'a',0)\ndef change(): k.a=9\n",
    "partial's attribute": 'import functools\nh=functools.partial(max,1)\nh.k=<<1||2>>\n@persist\ndef f(x): return P(), h.k\ndef change(): h.k=9\n',
}  # fmt: skip

#: What libraries and the interpreter hold anyway makes no miss.
SAME: dict[str, str] = {
    'logger used': "import logging\nlog=logging.getLogger(__name__)\n@persist\ndef f(x):\n  log.info('<<a||a>>'); return P(), x\n",
    're cache': "import re\n@persist\ndef f(x): return P(), bool(re.match('a','a'))  # <<a||b>>\n",
    'warnings': "import warnings\n@persist\ndef f(x):\n  with warnings.catch_warnings():\n    warnings.simplefilter('ignore'); return P(), x  # <<a||b>>\n",
    'np random': 'import numpy as np\n@persist\ndef f(x):\n  np.random.seed(1); return P(), float(np.random.rand())  # <<a||b>>\n',
    'from random': 'from random import random, seed\n@persist\ndef f(x):\n  seed(1); return P(), random()  # <<a||b>>\n',
    'pd option set': 'import pandas as pd\n@persist\ndef f(x):\n  pd.options.display.max_rows=7; return P(), x  # <<a||b>>\n',
    'tempfile': 'import tempfile,os\n@persist\ndef f(x):\n  with tempfile.TemporaryDirectory() as d: return P(), os.path.isdir(d)  # <<a||b>>\n',
    'polars config': "import polars as pl\n@persist\ndef f(x):\n  with pl.Config(tbl_rows=3): return P(), str(pl.DataFrame({'a':[1]}))  # <<a||b>>\n",
    'scipy lazy': '@persist\ndef f(x):\n  import scipy\n  return P(), float(scipy.special.ndtr(0))  # <<a||b>>\n',
    'scipy.stats lazy': '@persist\ndef f(x):\n  import scipy\n  return P(), float(scipy.stats.norm.cdf(0))  # <<a||b>>\n',
    'sklearn': '@persist\ndef f(x):\n  from sklearn.linear_model import LinearRegression\n  import numpy as np\n  return P(), float(LinearRegression().fit(np.eye(2),[1,2]).coef_[0])  # <<a||b>>\n',
    'sys checks': 'import sys,os\n@persist\ndef f(x): return P(), (sys.version_info>(3,), sys.platform, os.name, sys.maxsize, os.cpu_count()>0)  # <<a||b>>\n',
    'from os environ': "from os import environ\n@persist\ndef f(x): return P(), environ.get('NOPE')  # <<a||b>>\n",
    'decimal local': 'import decimal\n@persist\ndef f(x):\n  with decimal.localcontext() as c:\n    c.prec=3; return P(), decimal.Decimal(1)/3  # <<a||b>>\n',
    'abc class': 'import collections.abc\nclass S(collections.abc.Sequence):\n  def __len__(s): return 1\n  def __getitem__(s,i): return 1\n@persist\ndef f(x): return P(), (isinstance([],collections.abc.Sequence), list(S())[:1] if 0 else 1)  # <<a||b>>\n',
    'enum flags': "import re\n@persist\ndef f(x): return P(), bool(re.match('A','a',re.I|re.M))  # <<a||b>>\n",
    'json inside': "@persist\ndef f(x):\n  import json, xml.etree.ElementTree as ET, urllib.parse, email.message, html\n  return P(), (json.dumps(x), ET.fromstring('<a/>').tag, urllib.parse.quote('a b'), html.escape('<'))  # <<a||b>>\n",
    'import in func proj': "@persist\ndef f(x):\n  from . import util\n  return P(), util.g(x)  # <<a||b>>\n# --- util.py\nimport functools\nD=dict(a=1)\n@functools.lru_cache\ndef g(x): return x+D['a']\n",
    'proj inside obj': '@persist\ndef f(x):\n  from .util import C\n  return P(), C().m()  # <<a||b>>\n# --- util.py\nimport dataclasses,threading\nL=threading.Lock()\n@dataclasses.dataclass\nclass C:\n  a:int=1\n  def m(s):\n    with L: return s.a\n',
}  # fmt: skip

#: Those that load a library of seconds, three times: they run in the slow stage, in processes of their own.
LARGE = {"scipy.stats lazy", "sklearn"}

Calls = list[list[Any]]

RUNNER = """
import importlib, json, os, sys
root = sys.argv[1]
sys.path.insert(0, root)
found = {}
for name in sorted(os.listdir(root)):
    try:
        app = importlib.import_module(name + ".app")
        go = getattr(app, "go", None) or (lambda: app.f(1))
        raw = getattr(app, "raw", None) or (lambda: app.f.__wrapped__(1))
        calls = found[name] = []
        for change in (None, getattr(app, "change", None)):
            if change is not None:
                change()
            elif calls:
                break
            (process, value), again = go(), go()
            calls.append([process == os.getpid(), repr(value), repr(raw()[1]), again == (process, value)])
    except Exception as error:
        raise RuntimeError(name) from error
json.dump(found, sys.stdout)
"""


def write(root: Path, side: int, large: bool) -> None:
    for number, (name, text) in enumerate([*CASES.items(), *SAME.items()]):
        if (name in LARGE) is not large:
            continue
        folder = root / f"case{number:03}"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        text = EDIT.sub(lambda found: found[side], text).replace("PKG", folder.name)
        file = "app.py"
        for part in re.split(r"^# --- (.*)\n", HEADER + text, flags=re.M):
            if part.endswith(".py"):
                file = part
                continue
            path = folder / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(part)


def run(root: Path, place: Path, seed: str) -> dict[str, Calls]:
    environ = {**os.environ, "PYTHONHASHSEED": seed, "MEMO_DIR": str(place)}
    environ["PYTHONPATH"] = str(Path(memo.__file__).parents[1])
    command = [sys.executable, "-B", "-c", RUNNER, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, env=environ)
    assert done.returncode == 0, done.stderr
    assert "MemoWarning" not in done.stderr, done.stderr
    found: dict[str, Calls] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def runs(once: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, str], list[Calls]]:
    """What the three processes saw of a case."""

    def made(large: bool) -> list[dict[str, Calls]]:
        top, folders = tmp_path_factory.mktemp("state"), ("before", "after", "elsewhere/before")
        for name, side in zip(folders, (1, 2, 1), strict=True):
            write(top / name, side, large)
        return [run(top / folder, top / "place", str(n)) for n, folder in enumerate(folders)]

    def of(number: int, name: str) -> list[Calls]:
        large = name in LARGE
        if large not in found:
            found[large] = once(f"soundness-state-{'large' if large else 'small'}", lambda: made(large))
        return [run[f"case{number:03}"] for run in found[large]]

    found: dict[bool, list[dict[str, Calls]]] = {}
    return of


def numbered(cases: dict[str, str], start: int = 0) -> list[Any]:
    return [
        pytest.param(number, name, marks=pytest.mark.slow if name in LARGE else ())
        for number, name in enumerate(cases, start)
    ]


@pytest.mark.parametrize(("number", "name"), numbered(CASES))
def test_it_counts(runs: Callable[[int, str], list[Calls]], number: int, name: str) -> None:
    before, after, back = runs(number, name)
    for calls in (before, after, back):
        for _, value, truth, repeated in calls:
            assert value == truth, "stale"
            assert repeated, "needless: computed twice in one process"
    assert before[0][0], "nothing was stored yet"
    if EDIT.search(CASES[name]):
        assert after[0][0], "the edit changes nothing"
    assert not any(call[0] for call in back), "needless: code and data are as they were"


@pytest.mark.parametrize(("number", "name"), numbered(SAME, len(CASES)))
def test_it_does_not_count(runs: Callable[[int, str], list[Calls]], number: int, name: str) -> None:
    (before,), (after,), (back,) = runs(number, name)
    assert before[1] == before[2]
    assert before[0], "nothing was stored yet"
    assert before[3], "needless: computed twice in one process"
    assert not after[0], "needless: nothing that counts has changed"
    assert not back[0], "needless: nothing has changed"
