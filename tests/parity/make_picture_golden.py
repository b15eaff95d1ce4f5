#!/usr/bin/env python3
"""Writes tests/golden/pictures: what Pillow and matplotlib give, for a test run without Python."""

import pathlib

import matplotlib
import numpy
from PIL import Image

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "golden" / "pictures"


def scene(height, width):
    """Smooth colours, hard edges and noise."""
    y, x = numpy.mgrid[0:height, 0:width]
    noise = numpy.random.default_rng(11).integers(0, 40, (height, width, 3))
    red = 200 * (numpy.hypot(y - height / 2, x - width / 3) < height / 3)
    smooth = numpy.stack([red, 5 * y, 255 - 4 * x], -1)
    return (smooth + noise).clip(0, 255).astype(numpy.uint8)


def fnv1a(data):
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 % 2**64
    return value


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(scene(45, 60))
    image.save(FOLDER / "scene.png")
    image.convert("L").save(FOLDER / "scene_gray.png")
    for height, width in ((17, 23), (70, 91), (10, 60), (45, 31), (4, 50)):
        image.resize((width, height), Image.BILINEAR).save(FOLDER / f"scene_{height}x{width}.png")
    smooth = image.resize((90, 70), Image.BICUBIC)
    smooth.save(FOLDER / "smooth.jpg", quality=90)
    with Image.open(FOLDER / "smooth.jpg") as decoded:
        decoded.save(FOLDER / "smooth_decoded.png")
    lines = []
    for name in sorted(matplotlib.colormaps):
        colormap = matplotlib.colormaps[name]
        colors = (colormap(numpy.arange(colormap.N))[..., :3] * 255).astype(numpy.uint8)
        lines.append(f"{name} {colormap.N} {fnv1a(colors.tobytes()):016x}\n")
    (FOLDER / "colormaps.txt").write_text("".join(lines))
