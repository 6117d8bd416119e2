"""Completion for shells: a script made from the parser, so that it knows each command and option, and starts no Python."""

from __future__ import annotations

import argparse

from .._tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from ._places import Command

_FILES = ("FILE", "PLACE")  #: what is completed by names of files


def add(command: Callable[[str, Command, str], ArgumentParser]) -> None:
    made = command("completion", completion, "print what makes a shell complete memo's commands and options")
    made.add_argument("shell", choices=sorted(_SHELLS), help='bash: eval "$(memo completion bash)" in ~/.bashrc')


def completion(arguments: Namespace) -> None:
    print(_SHELLS[arguments.shell](known()), end="")


_Option = tuple[tuple[str, ...], str | None, str]  #: spellings, what it takes or None, help


class Known(NamedTuple):
    summary: str
    options: list[_Option]
    words: tuple[str, ...] = ()  #: what may follow beside options: certain words
    files: bool = False  #: or names of files


def known() -> dict[str, Known]:
    """By the name of each command, in the order of the help; "" are memo's own options."""
    from memo.flags import add_arguments

    from . import parser

    made = parser()
    (commands,) = [action for action in made._actions if isinstance(action, argparse._SubParsersAction)]
    add_arguments(commands.choices["run"])  # it takes them only when it runs
    found = {"": Known("", _options(made))}
    for choice in commands._choices_actions:
        command = commands.choices[choice.dest]
        words = [action for action in command._actions if not action.option_strings]
        found[choice.dest] = Known(
            choice.help or "",
            _options(command),
            tuple(str(word) for action in words for word in action.choices or ()),
            any(action.metavar in _FILES or action.nargs == argparse.REMAINDER for action in words),
        )
    return found


def _options(parser: ArgumentParser) -> list[_Option]:
    return [
        (tuple(action.option_strings), str(action.metavar) if action.nargs is None else None, action.help or "")
        for action in parser._actions
        if action.option_strings
    ]


def _bash(commands: dict[str, Known]) -> str:
    words = {
        name: " ".join([*one.words, *(spelling for option in one.options for spelling in option[0])])
        for name, one in commands.items()
    }
    cases = "\n".join(f"    {name}) words={_quoted(words[name])} ;;" for name in commands if name)
    files = "|".join(name for name, one in commands.items() if one.files)
    return f"""\
_memo() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command= words= at
  for ((at = 1; at < COMP_CWORD; at++)); do
    case ${{COMP_WORDS[at]}} in
      -l|--location) ((at++)) ;;
      -*) ;;
      *) command=${{COMP_WORDS[at]}}; break ;;
    esac
  done
  case $before in
    -l|--location) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  case $command in
    "") words={_quoted(" ".join([*filter(None, commands), words[""]]))} ;;
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  case $command in
    {files}) if [[ $word != -* ]]; then COMPREPLY+=($(compgen -f -- "$word")); fi ;;
  esac
}}
complete -o filenames -F _memo memo
"""


def _zsh(commands: dict[str, Known]) -> str:
    lines = ["#compdef memo", "_memo() {", "  local -a commands", "  local context state line", "  commands=("]
    lines += [f"    {_quoted(f'{name}:{about}')}" for name, (about, *_) in commands.items() if name]
    lines += ["  )", "  _arguments -C \\"]
    lines += [f"    {one} \\" for one in _zsh_options(commands[""].options)]
    lines += ["    '1:command:->command' '*::argument:->argument'", "  case $state in"]
    lines += [
        "    command) _describe -t commands 'memo command' commands ;;",
        "    argument)",
        "      case $line[1] in",
    ]
    for name, one in commands.items():
        if name:
            words = [f"*:word:({' '.join(one.words)})"] if one.words else ["*:file:_files"] if one.files else []
            given = " ".join([*_zsh_options(one.options), *map(_quoted, words)])
            lines.append(f"        {name}) _arguments {given} ;;")
    lines += [
        "      esac ;;",
        "  esac",
        "}",
        'if [ "$funcstack[1]" = _memo ]; then _memo; else compdef _memo memo; fi',
        "",
    ]
    return "\n".join(lines)


def _zsh_options(options: list[_Option]) -> list[str]:
    found = []
    for spellings, takes, about in options:
        text = about.replace("[", "(").replace("]", ")").replace(":", ",")
        after = "" if takes is None else f":{takes}:" + ("_files" if takes in _FILES else "")
        found += [_quoted(f"{spelling}[{text}]{after}") for spelling in spellings]
    return found


def _fish(commands: dict[str, Known]) -> str:
    lines = ["complete -c memo -f"]
    names = " ".join(name for name in commands if name)
    for name, (about, options, words, files) in commands.items():
        when = f"__fish_seen_subcommand_from {name}" if name else f"not __fish_seen_subcommand_from {names}"
        if name:
            lines.append(
                f"complete -c memo -n {_quoted(f'not __fish_seen_subcommand_from {names}')} -a {name} -d {_quoted(about)}"
            )
        for spellings, takes, text in options:
            named = " ".join(f"-l {one[2:]}" if one.startswith("--") else f"-s {one[1:]}" for one in spellings)
            more = "" if takes is None else " -r -F" if takes in _FILES else " -r"
            lines.append(f"complete -c memo -n {_quoted(when)} {named}{more} -d {_quoted(text)}")
        if words:
            lines.append(f"complete -c memo -n {_quoted(when)} -a {_quoted(' '.join(words))}")
        if files:
            lines.append(f"complete -c memo -n {_quoted(when)} -F")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """For any of these shells, in single quotes."""
    return "'" + text.replace("'", "'\\''") + "'"


_SHELLS: dict[str, Callable[[dict[str, Known]], str]] = {"bash": _bash, "fish": _fish, "zsh": _zsh}
