"""Curves of a training run, drawn from its log: one line a loss, a logarithmic scale."""

from __future__ import annotations

import colorsys
import csv
import math
from pathlib import Path
from typing import Any

SIZE, MARGIN = (960, 600), (70, 16, 190, 40)  # left, top, right, bottom


def read_log(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Columns of numbers, by name: step and value, where there is one."""
    columns: dict[str, list[tuple[int, float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                if name not in ("step", "stage", "lr") and text:
                    columns.setdefault(name, []).append((int(row["step"]), float(text)))
    return columns


def plot_losses(log: Path, target: Path) -> None:
    """A picture of the log, smoothed over a fiftieth of it."""
    from PIL import Image, ImageDraw

    columns = {
        name: smoothed([(s, v) for s, v in points if v > 0])
        for name, points in read_log(log).items()
    }
    columns = {name: points for name, points in columns.items() if points}
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    if columns:
        _draw(draw, columns)
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    image.save(partial)
    partial.replace(target)


def smoothed(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    width = max(1, len(points) // 50)
    values = [value for _, value in points]
    means = [
        sum(values[max(0, i - width + 1) : i + 1]) / len(values[max(0, i - width + 1) : i + 1])
        for i in range(len(values))
    ]
    return [(step, mean) for (step, _), mean in zip(points, means, strict=True)]


def whole_step(span: int) -> int:
    """1, 2 or 5 times a power of ten, so that four to ten of them fit."""
    power = 10 ** int(math.log10(max(span / 4, 1)))
    return next(power * digit for digit in (5, 2, 1) if power * digit * 4 <= max(span, 4))


def _draw(draw: Any, columns: dict[str, list[tuple[int, float]]]) -> None:
    left, top, right, bottom = MARGIN[0], MARGIN[1], SIZE[0] - MARGIN[2], SIZE[1] - MARGIN[3]
    steps = [step for points in columns.values() for step, _ in points]
    logs = [math.log10(value) for points in columns.values() for _, value in points]
    first, last, low, high = (
        min(steps),
        max(max(steps), min(steps) + 1),
        math.floor(min(logs) * 2) / 2,
        math.ceil(max(logs) * 2 + 1e-9) / 2,
    )

    def place(step: float, log: float) -> tuple[float, float]:
        return left + (step - first) / (last - first) * (right - left), bottom - (log - low) / max(
            high - low, 0.5
        ) * (bottom - top)

    for decade in range(math.floor(low), math.ceil(high) + 1):
        for digit in (1, 2, 5):
            log = decade + math.log10(digit)
            if low <= log <= high:
                y = place(first, log)[1]
                draw.line(
                    [(left, y), (right, y)], fill=(200, 200, 200) if digit == 1 else (235, 235, 235)
                )
                draw.text((left - 8, y), f"{10**log:.3g}", fill="black", anchor="rm")
    for step in range(-(-first // (every := whole_step(last - first))) * every, last + 1, every):
        x = place(step, low)[0]
        draw.line([(x, bottom), (x, bottom + 4)], fill="black")
        draw.text((x, bottom + 8), str(step), fill="black", anchor="mt")
    draw.text(((left + right) / 2, SIZE[1] - 6), "steps", fill="black", anchor="mb")
    draw.rectangle([left, top, right, bottom], outline="black")
    for i, (name, points) in enumerate(columns.items()):
        red, green, blue = colorsys.hsv_to_rgb((i * 0.618034) % 1, 0.85, 0.75)
        colour = (round(red * 255), round(green * 255), round(blue * 255))
        draw.line([place(step, math.log10(value)) for step, value in points], fill=colour, width=2)
        draw.line(
            [(right + 12, top + 10 + 18 * i), (right + 32, top + 10 + 18 * i)], fill=colour, width=3
        )
        draw.text(
            (right + 38, top + 10 + 18 * i),
            f"{name} {points[-1][1]:.3g}",
            fill="black",
            anchor="lm",
        )
