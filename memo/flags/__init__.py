"""Cache flags for the user's own program: one line, and ``program --cache-clear`` works.

The decision: a flag takes effect in the moment in which it is parsed, through `settings.set_flags`. So there is nothing
for the user to read out of a namespace or to add to a function's parameters, and it works in subcommands alike. What the
flags are and which contradict each other is said once (`_options`); each parser gets them in its own way.
"""

from __future__ import annotations

from ._argparse import add_arguments
from ._click import click_options
from ._typer import typer_options

__all__ = ["add_arguments", "click_options", "typer_options"]
