"""Batches of calls: one look-up for all, only what is missing is computed, by any executor, and results keep their order.

The engine is the executor's: memo hands it chunks of calls, and the workers store where this process would, so a place
that all of them reach is what makes several machines one cache. Function and arguments travel as bytes made here, by
cloudpickle where pickle can't (lambdas, ``__main__``), with the mode that is in force. What a worker could not store
where this process looks (another disk, other names after travelling by value) is stored when it comes back.
"""

from __future__ import annotations

import os
import sys
from time import perf_counter
from types import FunctionType

from . import settings
from ._attempt import Attempt
from ._run import ABSENT
from ._touched import TRACES
from ._tuples import NamedTuple
from .errors import OptionError
from .model import Hit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future
    from typing import Any

    from ._run import Runner

    Arguments = tuple[Any, ...]

_PAGE = 500  #: keys looked up in one trip
_PER_WORKER = 16  #: chunks: enough to even out, and to lose little when interrupted


class Done(NamedTuple):
    """What became of one input: its value, or the exception that the function raised for it."""

    input: Any
    value: Any
    error: BaseException | None

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


class Batch:
    """The calls of one ``map``; ``partial`` is what a method or partial has filled in."""

    def __init__(
        self,
        runner: Runner,
        calls: Iterable[Arguments],
        partial: tuple[Arguments, dict[str, Any]],
        executor: Executor | None,
        progress: bool | Callable[[int, int], object],
        chunk: int | None,
    ) -> None:
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise OptionError(f"executor must have submit(), as those of concurrent.futures have; got {executor!r}")
        if chunk is not None and (not isinstance(chunk, int) or chunk < 1):
            raise OptionError(f"chunk is how many calls go to a worker at once, 1 or more; got {chunk!r}")
        self.runner, self.executor, self.chunk = runner, executor, chunk
        first, self.keywords = partial
        self.calls = [(*first, *arguments) for arguments in calls]
        self._report = reporter(progress, len(self.calls))
        self._attempts: dict[int, Attempt] = {}  #: of what is missing and may be stored

    def __iter__(self) -> Iterator[tuple[int, Any, BaseException | None]]:
        """(number of the call, value, error), as they are done: what is stored first."""
        missing: list[int] = []
        again: dict[int, list[int]] = {}  # calls with the key of an earlier one, which computes it
        count = 0
        for found in (self._stored(missing, again), self._computed(missing, again)):
            for number, value, error in found:
                count += 1
                self._report(count)
                yield number, value, error

    def _stored(
        self, missing: list[int], again: dict[int, list[int]]
    ) -> Iterator[tuple[int, Any, BaseException | None]]:
        runner = self.runner
        mode = settings.current(runner.name, runner.mode, runner.file).name
        opened = None if mode == "off" else runner.cache().ready()
        state = runner.valid() if opened is not None and mode != "refresh" else None
        if opened is None or state is None or TRACES.get():  # each is noted by the run that it is made from
            missing += range(len(self.calls))
            return
        cache, policy = runner.cache(), runner.policy()
        seen: dict[str, int] = {}
        for start in range(0, len(self.calls), _PAGE):
            numbered = {}
            if not state.holds() and (state := runner.valid()) is None:  # whoever took the last ones had his time
                missing += range(start, len(self.calls))
                return
            table, mark = state.table, state.mark
            for number in range(start, min(start + _PAGE, len(self.calls))):
                values = runner.bind(*self.calls[number], **self.keywords)
                key = runner.key_of(state, values)
                if not key:  # it has none, and bypasses the cache
                    missing.append(number)
                    continue
                captures = state.all_captures()
                front_key = key if state.mutable is None else captures + key
                if table is not None:
                    value = runner.in_front(state, captures, front_key, key, values)
                    if value is not ABSENT:
                        yield number, value, None
                        continue
                call = runner.make_call(state, captures, key, values)
                if call.key in seen:
                    again.setdefault(seen[call.key], []).append(number)
                else:
                    seen[call.key] = number
                    numbered[number] = call, captures, front_key, values
            try:
                records = opened.batch.read_many([one[0].key for one in numbered.values()]) if numbered else {}
            except Exception as error:
                cache.trouble("read", error)
                records = {}
            read, now = records.get, cache.clock()
            for number, (call, captures, front_key, values) in numbered.items():
                outcome = cache.lookup(call, mark, now, policy, 0.0, table, front_key, read=read)
                if isinstance(outcome, Hit):
                    yield number, *_outcome(runner.hit, call, outcome)
                    for other in again.pop(number, ()):
                        yield other, *self._call(other)
                else:
                    missing.append(number)
                    if self.executor is not None and mode == "normal":
                        attempt = Attempt(runner, call, state, captures, front_key, values, outcome, opened)
                        self._attempts[number] = attempt
        missing.sort()

    def _call(self, number: int) -> tuple[Any, BaseException | None]:
        return _outcome(self.runner.wrapper, *self.calls[number], **self.keywords)

    def _computed(
        self, missing: list[int], again: dict[int, list[int]]
    ) -> Iterator[tuple[int, Any, BaseException | None]]:
        for number, value, error in self._spread(missing) if self.executor is not None else self._here(missing):
            yield number, value, error
            for other in again.get(number, ()):
                yield other, *self._call(other)

    def _here(self, missing: list[int]) -> Iterator[tuple[int, Any, BaseException | None]]:
        for number in missing:
            yield number, *self._call(number)

    def _spread(self, missing: list[int]) -> Iterator[tuple[int, Any, BaseException | None]]:
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed

        executor: Any = self.executor
        workers = getattr(executor, "_max_workers", None) or os.cpu_count() or 1
        size = self.chunk or max(1, len(missing) // (workers * _PER_WORKER))
        chunks = [missing[start : start + size] for start in range(0, len(missing), size)]
        futures: dict[Future[Any], list[int]] = {}
        try:
            if isinstance(executor, ThreadPoolExecutor):
                from contextvars import copy_context

                for chunk in chunks:
                    futures[executor.submit(copy_context().run, lambda chunk=chunk: list(map(self._call, chunk)))] = (
                        chunk
                    )
            else:
                # only workers of multiprocessing have the script's names under __main__ too
                by_value = not isinstance(executor, ProcessPoolExecutor)
                function = _function(self.runner, by_value)
                mode = settings.current(self.runner.name, self.runner.mode, self.runner.file).name
                for chunk in chunks:
                    calls = _dumped([(self.calls[number], self.keywords) for number in chunk], by_value)
                    futures[executor.submit(work, function, calls, mode)] = chunk
            for future in as_completed(futures):
                chunk = futures[future]
                try:
                    answer = future.result()
                    done = _loaded(answer) if isinstance(answer, bytes) else [(*one, 0.0) for one in answer]
                except Exception as problem:  # a worker died, or its answer can't be read here
                    done = [(None, problem, 0.0)] * len(chunk)
                for number, (value, error, seconds) in zip(chunk, done, strict=True):
                    if error is None and isinstance(answer, bytes):
                        self._keep(number, value, seconds)
                    yield number, value, error
        finally:
            for future in futures:
                future.cancel()  # interrupted: what is done is stored, what has not begun need not begin

    def _keep(self, number: int, value: Any, seconds: float) -> None:
        attempt = self._attempts.pop(number, None)
        if attempt is None:
            return
        there = attempt.opened.head(attempt.call.key)
        if there is None or there[1] != attempt.state.mark or not there[0]:
            attempt.before = there
            attempt.begin()
            attempt.seconds = seconds
            attempt.land(value)


def collected(batch: Batch) -> list[Any]:
    """All values in the order of the inputs. What a call raised is raised when all others are done, the first one's."""
    outcomes: list[tuple[Any, BaseException | None]] = [(None, None)] * len(batch.calls)
    for number, value, error in batch:
        outcomes[number] = value, error
    return values_of(outcomes)


def values_of(outcomes: list[tuple[Any, BaseException | None]]) -> list[Any]:
    errors = [error for _, error in outcomes if error is not None]
    if errors:
        errors[0].add_note(f"{len(errors)} of {len(outcomes)} inputs failed; what the others gave is stored")
        raise errors[0]
    return [value for value, _ in outcomes]


def completed(batch: Batch, inputs: list[Any]) -> Iterator[Done]:
    return (Done(inputs[number], value, error) for number, value, error in batch)


def _outcome(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, BaseException | None]:
    try:
        return function(*args, **kwargs), None
    except Exception as error:
        return None, error


def reporter(progress: Any, total: int) -> Callable[[int], object]:
    if progress is False or progress is None:
        return lambda count: None
    if callable(progress):
        return lambda count: progress(count, total)
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError(
            'progress=True needs tqdm: pip install "memo-persist[progress]", or give a callable(done, total)'
        )
    bar = tqdm(total=total)

    def report(count: int) -> None:
        bar.update()
        if count == total:
            bar.close()

    return report


# --------------------------------------------------------------------------------------------------- the other side


def work(function: bytes, calls: bytes, mode: str) -> bytes:
    """In a worker: makes the calls; gives (value, error) of each, as bytes."""
    runner = _runners.get(function)
    if runner is None:
        from ._handle import runner_of

        loaded = _loaded(function)
        runner = _runners[function] = runner_of(loaded) or loaded
    done = []
    with settings.mode(mode):
        for arguments, keywords in _loaded(calls):
            began = perf_counter()
            done.append((*_outcome(runner.wrapper, *arguments, **keywords), perf_counter() - began))
    try:
        return _answered(done)
    except Exception:  # some value or exception can't travel: the others can
        return _answered([(*_portable(value, error), seconds) for value, error, seconds in done])


_runners: dict[bytes, Any] = {}


def _portable(value: Any, error: BaseException | None) -> tuple[Any, BaseException | None]:
    try:
        _answered((value, error))
        return value, error
    except Exception as problem:
        kind = type(value if error is None else error).__name__
        text = f"what a worker made, a {kind}, can't be sent back ({problem})"
        return None, RuntimeError(text if error is None else f"{text}: {error}")


def _function(runner: Runner, by_value: bool) -> bytes:
    """By name where a worker can import it, else by value, which every worker can load."""
    if not by_value or runner.function.__module__ not in ("__main__", "__mp_main__"):
        import pickle

        try:
            return pickle.dumps(runner.wrapper)
        except Exception:
            pass
    return _dumped(runner, by_value=True)


def _dumped(value: Any, by_value: bool = False) -> bytes:
    """By cloudpickle where pickle can't, or (``by_value``) where there may be names of ``__main__`` in it."""
    import pickle

    try:
        if not by_value:
            return pickle.dumps(value, 5)
    except Exception:
        pass
    import cloudpickle

    return cloudpickle.dumps(value)  # type: ignore[no-any-return]


def _answered(value: Any) -> bytes:
    """What the asking process can load: classes and functions of its ``__main__``, which is not this one's, by name.

    By value they would replace the methods of the very classes that it has.
    """
    import pickle
    from io import BytesIO

    class Answer(pickle.Pickler):
        def reducer_override(self, thing: Any) -> Any:
            by_name = isinstance(thing, (type, FunctionType)) and "<" not in thing.__qualname__
            if by_name and thing.__module__ in ("__main__", "__mp_main__"):
                return of_main, (thing.__qualname__,)
            return NotImplemented

    buffer = BytesIO()
    Answer(buffer, 5).dump(value)
    return buffer.getvalue()


def of_main(name: str) -> Any:
    found: Any = sys.modules["__main__"]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _loaded(data: bytes) -> Any:
    import pickle

    return pickle.loads(data)
