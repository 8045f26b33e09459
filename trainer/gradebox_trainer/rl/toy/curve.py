"""Curves of pass@1 as an SVG, drawn by hand: the trainer needs no plotting library for two axes and a few lines."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

_WIDTH, _HEIGHT = 720, 400
_LEFT, _TOP, _RIGHT, _BOTTOM = 60, 20, 180, 50
_COLOURS = ("#0b6bcb", "#c2410c", "#15803d", "#7e22ce", "#b45309", "#0f766e", "#be123c", "#4d7c0f", "#475569")


def draw(curves: Mapping[str, Sequence[Mapping[str, Any]]], file: Path) -> None:
    """Each curve a list of `{"step", "pass@1"}`; from 0 to 1 on the left."""
    last = max((point["step"] for curve in curves.values() for point in curve), default=0) or 1

    def at(step: float, value: float) -> str:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / last
        y = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for tenth in range(0, 11, 2):
        left, y = at(0, tenth / 10).split(",")
        right = at(last, 0).split(",")[0]
        parts.append(f'<line x1="{left}" y1="{y}" x2="{right}" y2="{y}" stroke="#e2e8f0"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y}" text-anchor="end" dy="4">{tenth / 10:.1f}</text>')
    for quarter in range(5):
        x = at(last * quarter / 4, 0).split(",")[0]
        parts.append(f'<text x="{x}" y="{_HEIGHT - 28}" text-anchor="middle">{last * quarter // 4}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">step</text>')
    parts.append(
        f'<text transform="translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        "pass@1, held-out problems</text>"
    )
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(at(point["step"], point["pass@1"]) for point in curve)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        height = _TOP + 14 + 18 * number
        parts.append(f'<rect x="{_WIDTH - _RIGHT + 14}" y="{height - 9}" width="12" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{_WIDTH - _RIGHT + 32}" y="{height}">{escape(name)}</text>')
    file.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")
