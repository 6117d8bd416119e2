"""The curves as two SVG files: latency against the number of entries, time against the size of a result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .curves import PEERS, Curves

#: colours that the colour-blind tell apart; the floors are grey
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#555555", "#999999")
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",  # text as text: small, and searchable
    "svg.hashsalt": "memo",  # the same file for the same figures
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def written(curves: Curves, versions: Mapping[str, str], folder: Path) -> list[Path]:
    """Draws both; their paths. ModuleNotFoundError without matplotlib."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        return [
            _drawn(folder / "entries.svg", curves, versions, {"first touch": "first hit on a key"}, "entries stored"),
            _drawn(
                folder / "sizes.svg",
                curves,
                versions,
                {"stored": "storing an array", "loaded": "first hit in a process"},
                "bytes",
            ),
        ]


def _drawn(path: Path, curves: Curves, versions: Mapping[str, str], panels: dict[str, str], across: str) -> Path:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.2 + 3.6 * len(panels), 3.6), layout="constrained")
    FigureCanvasSVG(figure)
    for number, (name, title) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for peer, colour in zip(PEERS, COLOURS, strict=True):
            points = curves[name].get(peer)
            if points:
                floor = peer in ("sqlite3", "files")
                look: dict[str, Any] = {"linestyle": "--"} if floor else {"marker": "o", "markersize": 3}
                label = {"sqlite3": "raw sqlite3", "files": "raw files"}.get(peer, peer)
                width = 2.2 if peer == "memo" else 1.2
                axes.plot(*zip(*points, strict=True), color=colour, linewidth=width, label=label, **look)
        axes.set(xscale="log", yscale="log", xlabel=across, title=title)
        axes.yaxis.set_major_formatter(lambda value, _: _seconds(value))
        axes.minorticks_off()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    said = ", ".join(f"{name} {version}" for name, version in versions.items() if version != "not installed")
    half = said.index(", ", len(said) // 2) + 1
    figure.supxlabel(f"{said[:half]}\n{said[half:].strip()}", fontsize=6, color="#777777")
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    return path


def _seconds(value: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 0.999:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"
