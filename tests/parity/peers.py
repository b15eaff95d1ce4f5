"""What the parity tests share: the programs under test, and torchvision beside this wheel of torch."""

import os
import pathlib
import subprocess
import unittest

import torch
from PIL import Image

# PyPI's torchvision looks for two operators that this wheel of torch does not bring.
_library = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchvision  # noqa: E402, F401

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EXAMPLES = pathlib.Path(os.environ["SALIENCE_EXAMPLE_DATA"])
SHARED = pathlib.Path(os.environ.get("SALIENCE_SHARED_DATA") or "/nonexistent")

needs_shared = unittest.skipUnless(SHARED.is_dir(), "the photos and the ImageNet model are not beside the project")


def program(variable):
    """The path of a program that the build names in the environment."""
    return os.environ[variable]


def attribute(*arguments):
    """Runs the program of the main job; gives its finished process."""
    command = [program("SALIENCE_ATTRIBUTE"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=300)


def photos():
    return sorted(SHARED.glob("images/*"))


def lossless(photo, folder):
    """The photo's pixels as Pillow decodes them; decoders differ on JPEG."""
    path = pathlib.Path(folder) / (photo.stem + ".png")
    Image.open(photo).convert("RGB").save(path)
    return path


def scenes():
    return sorted(p for p in EXAMPLES.glob("scene_*.png") if not p.stem.endswith("_mask"))
