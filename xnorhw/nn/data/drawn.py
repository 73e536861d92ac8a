"""Two sets that are drawn here: robots on a football field, and scenes.

They stand in for data that cannot be shipped.  A picture is a function of its number and the
seed alone.  What a network reaches on them says that the recipe works, and nothing about
real fields or photographs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from xnorhw.nn.data.pictures import Arrays, Data

__all__ = ["ROBOT_CLASSES", "SCENE_CLASSES", "robots", "scenes"]

Canvas = npt.NDArray[np.float64]
"""A picture [H, W, 3] of values 0..1 while it is drawn."""
Random = np.random.Generator

ROBOT_CLASSES = ("nothing", "robot")
SCENE_CLASSES = ("beach", "city", "desert", "forest", "mountain", "night", "road", "sea")


def robots(count: int = 2000, tested: int = 500, *, seed: int = 0, channels: int = 1, size: int = 32) -> Data:
    """Object proposals of a football robot's camera: is there a white robot in the middle or not.

    The others show the green field with lines, a ball, a goal post, or a robot's part at the
    edge.  ``count`` pictures to train and ``tested`` to test; uint8 [N, channels, size, size],
    classes in turn.
    """
    return _made("robots", ROBOT_CLASSES, _robot, count, tested, seed, (channels, size, size))


def scenes(count: int = 4000, tested: int = 800, *, seed: int = 0, channels: int = 3, size: int = 32) -> Data:
    """Eight kinds of outdoor scenes, drawn with random colours, shapes and light."""
    return _made("scenes", SCENE_CLASSES, _scene, count, tested, seed, (channels, size, size))


def _made(
    name: str,
    classes: tuple[str, ...],
    draw: Callable[[Random, int, int], Canvas],
    count: int,
    tested: int,
    seed: int,
    shape: tuple[int, int, int],
) -> Data:
    channels, size, _ = shape
    if channels not in (1, 3) or size < 16 or min(count, tested) < len(classes):
        raise ValueError(
            f"{name} are drawn in 1 or 3 channels, on 16 pixels or more, a picture of each class at least"
        )

    def pictures(first: int, number: int) -> Arrays:
        pixels = np.empty((number, *shape), np.uint8)
        labels = np.arange(number) % len(classes)
        for i, label in enumerate(labels):
            random = np.random.default_rng([seed, first + i])
            canvas = _seen(draw(random, size, int(label)), random)
            if channels == 1:
                canvas = (canvas @ np.array([0.299, 0.587, 0.114]))[:, :, None]
            pixels[i] = np.rint(255 * canvas).astype(np.uint8).transpose(2, 0, 1)
        return Arrays(pixels, labels)

    return Data(name, classes, shape, pictures(0, count), pictures(count, tested))


def _seen(canvas: Canvas, random: Random) -> Canvas:
    """What a cheap camera makes of it: a light that varies over the picture, blur, noise."""
    size = len(canvas)
    y, x = _axes(size)
    slope = random.uniform(-0.25, 0.25, 2)
    lit = canvas * (random.uniform(0.7, 1.15) + slope[0] * (y - 0.5) + slope[1] * (x - 0.5))[:, :, None]
    blur = random.uniform(0, 0.5)
    near = (np.roll(lit, 1, 0) + np.roll(lit, -1, 0) + np.roll(lit, 1, 1) + np.roll(lit, -1, 1)) / 4
    near[[0, -1]], near[:, [0, -1]] = lit[[0, -1]], lit[:, [0, -1]]
    noise = random.normal(0, random.uniform(0.01, 0.05), lit.shape)
    result: Canvas = np.clip((1 - blur) * lit + blur * near + noise, 0, 1)
    return result


def _axes(size: int) -> tuple[Canvas, Canvas]:
    """The pixels' middles, 0 at the top (left) and 1 at the bottom (right): y [H, 1] and x [1, W]."""
    middles = (np.arange(size) + 0.5) / size
    return middles[:, None], middles[None, :]


def _ellipse(canvas: Canvas, y: float, x: float, height: float, width: float, colour: Canvas) -> None:
    rows, columns = _axes(len(canvas))
    canvas[((rows - y) / height) ** 2 + ((columns - x) / width) ** 2 <= 1] = colour


def _box(canvas: Canvas, top: float, left: float, bottom: float, right: float, colour: Canvas) -> None:
    rows, columns = _axes(len(canvas))
    canvas[(rows >= top) & (rows <= bottom) & (columns >= left) & (columns <= right)] = colour


def _line(canvas: Canvas, random: Random) -> None:
    """A field line: a white band at any angle."""
    rows, columns = _axes(len(canvas))
    angle = random.uniform(0, np.pi)
    distance = np.cos(angle) * (rows - random.uniform(0.1, 0.9)) + np.sin(angle) * (
        columns - random.uniform(0.1, 0.9)
    )
    canvas[np.abs(distance) < random.uniform(0.02, 0.07)] = random.uniform(0.75, 1.0)


def _colour(random: Random, base: tuple[float, float, float], spread: float = 0.08) -> Canvas:
    return np.clip(np.array(base) + random.uniform(-spread, spread, 3), 0, 1)


def _field(random: Random, size: int) -> Canvas:
    canvas = np.empty((size, size, 3))
    canvas[:] = _colour(random, (0.15, 0.45, 0.18), 0.1)
    if random.random() < 0.4:  # beyond the field's border
        edge = random.uniform(0.05, 0.4)
        _box(canvas, 0, 0, edge, 1, _colour(random, (0.45, 0.42, 0.4), 0.3))
    if random.random() < 0.4:
        _line(canvas, random)
    return canvas


def _body(canvas: Canvas, random: Random, y: float, x: float, scale: float) -> None:
    """A small white humanoid around (y, x), ``scale`` of the picture high."""
    white = np.full(3, random.uniform(0.75, 1.0))
    grey = np.full(3, random.uniform(0.25, 0.45))
    shirt = _colour(random, (0.5, 0.5, 0.5), 0.5)
    lean = random.uniform(-0.06, 0.06)

    def place(dy: float, dx: float) -> tuple[float, float]:
        return y + dy * scale, x + (dx - lean * dy) * scale

    for side in (-1, 1):
        spread = random.uniform(0.05, 0.16)
        top, middle = place(0.1, side * 0.08)
        _box(canvas, top, middle - 0.05 * scale, y + 0.48 * scale, middle + 0.05 * scale, white)
        foot_y, foot_x = place(0.48, side * spread)
        _ellipse(canvas, foot_y, foot_x, 0.05 * scale, 0.1 * scale, grey)
        arm_y, arm_x = place(random.uniform(-0.08, 0.05), side * random.uniform(0.19, 0.27))
        _ellipse(canvas, arm_y, arm_x, 0.17 * scale, 0.05 * scale, white)
    _ellipse(canvas, *place(-0.05, 0), 0.2 * scale, 0.16 * scale, shirt if random.random() < 0.5 else white)
    _ellipse(canvas, *place(-0.35, 0), 0.12 * scale, 0.11 * scale, white)
    eye_y, eye_x = place(-0.36, random.uniform(-0.03, 0.03))
    for side in (-1, 1):
        _ellipse(canvas, eye_y, eye_x + side * 0.05 * scale, 0.03 * scale, 0.025 * scale, grey)


def _robot(random: Random, size: int, label: int) -> Canvas:
    canvas = _field(random, size)
    if label == 1:
        middle = 0.5 + random.uniform(-0.08, 0.08, 2)
        _body(canvas, random, float(middle[0]), float(middle[1]), random.uniform(0.75, 1.1))
        return canvas
    kind = random.integers(5)
    if kind == 0:  # a ball: white with dark patches
        y, x, radius = random.uniform(0.35, 0.65), random.uniform(0.35, 0.65), random.uniform(0.15, 0.4)
        _ellipse(canvas, y, x, radius, radius, np.full(3, random.uniform(0.8, 1.0)))
        for _ in range(5):
            angle, away = random.uniform(0, 2 * np.pi), random.uniform(0, 0.8) * radius
            patch = 0.2 * radius
            _ellipse(
                canvas, y + away * np.sin(angle), x + away * np.cos(angle), patch, patch, np.full(3, 0.1)
            )
    elif kind == 1:  # a goal post
        left = random.uniform(0.2, 0.7)
        _box(canvas, 0, left, random.uniform(0.7, 1), left + random.uniform(0.06, 0.16), np.full(3, 0.95))
    elif kind == 2:
        for _ in range(random.integers(1, 4)):
            _line(canvas, random)
    elif kind == 3:  # a robot that the proposal missed: a part of it at the edge
        x = random.choice([-0.12, 1.12]) + random.uniform(-0.08, 0.08)
        _body(canvas, random, random.uniform(0.3, 0.7), float(x), random.uniform(0.7, 1.1))
    return canvas


def _ramp(size: int, top: Canvas, bottom: Canvas) -> Canvas:
    rows, _ = _axes(size)
    canvas = np.empty((size, size, 3))
    canvas[:] = (1 - rows)[:, :, None] * top + rows[:, :, None] * bottom
    return canvas


def _ridge(random: Random, size: int, base: float, height: float, rough: int) -> Canvas:
    """The upper edge of hills: y for each column."""
    x = _axes(size)[1][0]
    edge = np.full(size, base)
    for wave in range(1, rough + 1):
        edge -= (
            height / wave * np.abs(np.sin(np.pi * (wave * x * random.uniform(0.7, 1.6) + random.random())))
        )
    return edge


def _below(canvas: Canvas, edge: Canvas, colour: Canvas) -> None:
    canvas[_axes(len(canvas))[0] >= edge[None, :]] = colour


def _scene(random: Random, size: int, label: int) -> Canvas:
    kind = SCENE_CLASSES[label]
    sky = _ramp(size, _colour(random, (0.35, 0.6, 0.9)), _colour(random, (0.75, 0.85, 0.95)))
    horizon = random.uniform(0.4, 0.6)
    if kind in ("beach", "sea"):
        sea = _colour(random, (0.1, 0.35, 0.6))
        _box(sky, horizon, 0, 1, 1, sea)
        for _ in range(6):  # waves
            y = random.uniform(horizon, 1)
            x = random.random()
            _ellipse(sky, y, x, 0.012, 0.15, sea + 0.15)
        if kind == "beach":
            shore = random.uniform(0.68, 0.8) + 0.05 * np.sin(
                2 * np.pi * (_axes(size)[1][0] + random.random())
            )
            _below(sky, shore, _colour(random, (0.85, 0.75, 0.5)))
    elif kind == "desert":
        for step in range(3):
            shade = _colour(random, (0.8 - 0.08 * step, 0.6 - 0.08 * step, 0.3 - 0.05 * step), 0.05)
            _below(sky, _ridge(random, size, horizon + 0.18 * step, 0.12, 1), shade)
    elif kind == "mountain":
        rock = _ridge(random, size, 0.8, 0.45, 4)
        _below(sky, rock, _colour(random, (0.4, 0.38, 0.42)))
        rows, _ = _axes(size)
        sky[(rows >= rock[None, :]) & (rows < rock.min() + 0.12)] = 0.95  # snow
        _box(sky, random.uniform(0.82, 0.9), 0, 1, 1, _colour(random, (0.25, 0.4, 0.2)))
    elif kind == "forest":
        _box(sky, horizon, 0, 1, 1, _colour(random, (0.2, 0.35, 0.12)))
        for _ in range(random.integers(9, 16)):
            x, top = random.random(), random.uniform(0.05, horizon)
            _box(sky, top, x - 0.02, 0.95, x + 0.02, _colour(random, (0.3, 0.2, 0.1), 0.05))
            _ellipse(sky, top + 0.15, x, 0.2, random.uniform(0.07, 0.13), _colour(random, (0.1, 0.35, 0.12)))
    elif kind == "road":
        _box(sky, horizon, 0, 1, 1, _colour(random, (0.3, 0.5, 0.2)))
        rows, columns = _axes(size)
        middle = 0.5 + random.uniform(-0.15, 0.15) * (1 - rows)
        half = np.clip((rows - horizon) / (1 - horizon), 0, 1) * random.uniform(0.3, 0.5)
        sky[(rows >= horizon) & (np.abs(columns - middle) < half)] = _colour(random, (0.35, 0.35, 0.37), 0.05)
        dashes = (rows >= horizon) & (np.abs(columns - middle) < 0.08 * half) & (np.sin(40 * rows) > 0)
        sky[dashes] = 0.95
    else:  # a city by day, or by night with lit windows
        dark = kind == "night"
        canvas = _ramp(
            size, _colour(random, (0.02, 0.02, 0.1), 0.02), _colour(random, (0.1, 0.08, 0.2), 0.04)
        )
        canvas = canvas if dark else sky
        left = 0.0
        while left < 1:
            width, top = random.uniform(0.12, 0.25), random.uniform(0.15, 0.6)
            wall = (
                _colour(random, (0.08, 0.08, 0.1), 0.03) if dark else _colour(random, (0.55, 0.5, 0.48), 0.15)
            )
            _box(canvas, top, left, 1, left + width, wall)
            for y in np.arange(top + 0.06, 0.95, 0.11):
                for x in np.arange(left + 0.04, left + width - 0.03, 0.08):
                    if random.random() < 0.6:
                        glass = _colour(random, (0.95, 0.85, 0.4) if dark else (0.25, 0.35, 0.45), 0.05)
                        _box(canvas, float(y), float(x), float(y) + 0.05, float(x) + 0.04, glass)
            left += width + random.uniform(0, 0.04)
        return canvas
    return sky
