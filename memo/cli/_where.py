"""Which place a command is about, and the settings in force: where."""

from __future__ import annotations

import os

from memo import _upkeep, settings
from memo._place import shown, split_location
from memo._units import show_bytes

from ._output import Nothing, as_json, pairs, table
from ._places import absent, located, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable
    from typing import Any

    from ._places import Command


def add(command: Callable[[str, Command, str], ArgumentParser]) -> None:
    place = command("where", where, "which place this is, why this one, what it holds, and the settings in force")
    place.add_argument("--json", action="store_true", help="for programs: bytes")


def where(arguments: Namespace) -> None:
    location, source = located(arguments)
    found: dict[str, Any] = {"place": shown(location), "because": source, "exists": not absent(location)}
    if found["exists"] or arguments.location is not None:
        _, storage, marker = opened(arguments)
        used = _upkeep.usage(storage)
        found["marker"] = marker._asdict()
        found["entries"], found["bytes"] = sum(one.entries for one in used), sum(one.bytes for one in used)
        found["on_disk"] = on_disk(split_location(location)[1])
    in_force = [
        {"setting": name, "value": value, "from": origin}
        for name, value, origin in settings.explain()
        if name != "location"  # that is what the lines above are about
    ]
    modes = settings.precedence()
    if arguments.json:
        order = [{"who": who, "says": says, "counts": counts} for who, says, counts in modes]
        as_json({**found, "settings": in_force, "modes": order})
    else:
        rows = [("place", found["place"]), ("because", source)]
        if "marker" in found:
            rows.extend((name.replace("_", " "), str(value)) for name, value in found["marker"].items() if value)
            rows.append(("entries", f"{found['entries']:,}, {show_bytes(found['bytes'])}"))
            if found["on_disk"] is not None:
                rows.append(("on disk", show_bytes(found["on_disk"])))
        pairs(rows)
        if in_force:
            print()
            table(("SETTING", "VALUE", "FROM"), [[str(cell) for cell in row.values()] for row in in_force])
        print()
        table(("MODE IS SAID BY", "SAYS", "HERE"), [[who, says, "counts" if it else ""] for who, says, it in modes])
    if not found["exists"]:
        raise Nothing(f"nothing is stored yet in {found['place']}")


def on_disk(location: str) -> int | None:
    """Bytes of all files of a folder, as the disk allots them; None for what is not a folder."""
    if not os.path.isdir(location):
        return None
    total = 0
    for folder, _, files in os.walk(location):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # POSIX counts in 512, whatever the disk
            except OSError:  # gone meanwhile
                continue
    return total
