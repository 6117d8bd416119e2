"""What is stored of a function that raised: the exception, pickled, and its traceback as text.

Not among the names that users choose: a cache takes it for exceptions by itself, whatever serializer its values have.
"""

from __future__ import annotations

import pickle
from typing import Any

from memo.errors import DamagedError, UnstorableError
from memo.model import Raised as Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memo.model import Buffer


class Raised:
    """Takes a ``memo.model.Raised`` and gives one back. Exceptions that pickle can't take raise UnstorableError."""

    name = "raised"
    suffix = ".pkl"

    def dump(self, value: Any, /) -> list[Buffer]:
        try:
            body = pickle.dumps((value.error, value.trace), 5)
            back = pickle.loads(body)[0]  # many exceptions can be pickled and not be made again
        except Exception as error:
            raise UnstorableError(
                f"the exception {type(value.error).__qualname__} can't be pickled: {error}"
            ) from error
        if type(back) is not type(value.error) or back.args != value.error.args:
            raise UnstorableError(
                f"the exception {type(value.error).__qualname__} comes back from pickle as another one"
            )
        return [body]

    def load(self, data: memoryview, /) -> Outcome:
        error, trace = pickle.loads(data)
        if not isinstance(error, BaseException) or type(trace) is not str:
            raise DamagedError("not what is stored of an exception")
        return Outcome(error, trace)
