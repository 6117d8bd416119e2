"""Completion for shells: a script made from the parser, so that it knows each command and option, and starts no Python."""

from __future__ import annotations

import argparse

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


def known() -> dict[str, tuple[str, list[tuple[tuple[str, ...], str | None, str]]]]:
    """command -> (its summary, its options: (spellings, what it takes or None, help)); "" are memo's own options."""
    from . import parser

    made = parser()
    (commands,) = [action for action in made._actions if isinstance(action, argparse._SubParsersAction)]
    found = {"": ("", _options(made))}
    for choice in commands._choices_actions:
        found[choice.dest] = (choice.help or "", _options(commands.choices[choice.dest]))
    return found


def _options(parser: ArgumentParser) -> list[tuple[tuple[str, ...], str | None, str]]:
    return [
        (tuple(action.option_strings), str(action.metavar) if action.nargs is None else None, action.help or "")
        for action in parser._actions
        if action.option_strings
    ]


_Known = dict[str, tuple[str, list[tuple[tuple[str, ...], str | None, str]]]]


def _bash(commands: _Known) -> str:
    words = {name: " ".join(one for option in options for one in option[0]) for name, (_, options) in commands.items()}
    words["completion"] += " " + " ".join(sorted(_SHELLS))
    cases = "\n".join(f"    {name}) words={_quoted(words[name])} ;;" for name in commands if name)
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
  if [[ -n $command && $word != -* ]]; then COMPREPLY+=($(compgen -f -- "$word")); fi
}}
complete -o filenames -F _memo memo
"""


def _zsh(commands: _Known) -> str:
    lines = ["#compdef memo", "_memo() {", "  local -a commands", "  local context state line", "  commands=("]
    lines += [f"    {_quoted(f'{name}:{about}')}" for name, (about, _) in commands.items() if name]
    lines += ["  )", "  _arguments -C \\"]
    lines += [f"    {one} \\" for one in _zsh_options(commands[""][1])]
    lines += ["    '1:command:->command' '*::argument:->argument'", "  case $state in"]
    lines += [
        "    command) _describe -t commands 'memo command' commands ;;",
        "    argument)",
        "      case $line[1] in",
    ]
    for name, (_, options) in commands.items():
        if name:
            given = " ".join(_zsh_options(options))
            lines.append(f"        {name}) _arguments {given} '*:file:_files' ;;")
    lines += [
        "      esac ;;",
        "  esac",
        "}",
        'if [ "$funcstack[1]" = _memo ]; then _memo; else compdef _memo memo; fi',
        "",
    ]
    return "\n".join(lines)


def _zsh_options(options: list[tuple[tuple[str, ...], str | None, str]]) -> list[str]:
    found = []
    for spellings, takes, about in options:
        text = about.replace("[", "(").replace("]", ")").replace(":", ",")
        after = "" if takes is None else f":{takes}:" + ("_files" if takes in _FILES else "")
        found += [_quoted(f"{spelling}[{text}]{after}") for spelling in spellings]
    return found


def _fish(commands: _Known) -> str:
    lines = ["complete -c memo -f"]
    names = " ".join(name for name in commands if name)
    for name, (about, options) in commands.items():
        when = f"__fish_seen_subcommand_from {name}" if name else f"not __fish_seen_subcommand_from {names}"
        if name:
            lines.append(
                f"complete -c memo -n {_quoted(f'not __fish_seen_subcommand_from {names}')} -a {name} -d {_quoted(about)}"
            )
        for spellings, takes, text in options:
            named = " ".join(f"-l {one[2:]}" if one.startswith("--") else f"-s {one[1:]}" for one in spellings)
            more = "" if takes is None else " -r -F" if takes in _FILES else " -r"
            lines.append(f"complete -c memo -n {_quoted(when)} {named}{more} -d {_quoted(text)}")
        if name in ("export", "import", "merge", "push", "pull"):
            lines.append(f"complete -c memo -n {_quoted(when)} -F")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """For any of these shells, in single quotes."""
    return "'" + text.replace("'", "'\\''") + "'"


_SHELLS: dict[str, Callable[[_Known], str]] = {"bash": _bash, "fish": _fish, "zsh": _zsh}
