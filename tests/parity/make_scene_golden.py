"""Makes tests/golden/scene: what torchvision, autograd, numpy and matplotlib give for one shipped scene, so that the C++
tests can compare without Python. Run it by hand with the environment of the parity tests; the results are committed."""

import pathlib

import numpy
import torch
from peers import EXAMPLES
from PIL import Image
from test_attribute import SCENES_SIZE, autograd, reference_views
from test_preprocess import transforms, MEAN, STD

folder = pathlib.Path(__file__).parent.parent / "golden" / "scene"
folder.mkdir(parents=True, exist_ok=True)
scene = EXAMPLES / "scene_star.png"
steps = [transforms.Resize(SCENES_SIZE), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
transforms.Compose(steps)(Image.open(scene).convert("RGB")).numpy().tofile(folder / "input.f32")
logits, target, gradient = autograd(EXAMPLES / "scenes.pt", scene, SCENES_SIZE, torch.float64)
gradient = gradient.float()  # 1e-7 is near enough, at half the size
gradient.numpy().tofile(folder / "gradient.f32")
logits.numpy().tofile(folder / "logits.f64")
for name, pixels in reference_views(gradient).items():
    Image.fromarray(pixels).save(folder / f"{name}.png", optimize=True)
print(folder, target, sum(path.stat().st_size for path in folder.iterdir()), "bytes")
