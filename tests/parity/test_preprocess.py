"""The input tensors of the two presets against torchvision's transforms, live."""

import pathlib
import subprocess
import tempfile
import unittest

import numpy
from PIL import Image
from peers import MEAN, STD, needs_shared, photos, program, scenes
from torchvision import transforms


def theirs(preset, path):
    size = [transforms.Resize(256), transforms.CenterCrop(224)] if preset == "crop" else [transforms.Resize((224, 224))]
    steps = [*size, transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    return transforms.Compose(steps)(Image.open(path).convert("RGB")).numpy()


class Preprocess(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def compare(self, path, pixels=None):
        for preset in ("plain", "crop"):
            with self.subTest(preset=preset, path=path.name):
                raw = self.folder / "input.raw"
                subprocess.run([program("SALIENCE_PREPROCESS_TOOL"), preset, path, raw], check=True)
                ours = numpy.fromfile(raw, numpy.float32).reshape(3, 224, 224)
                expected = theirs(preset, pixels or path)
                # 1 ulp of the value, counted on the integers that the bits stand for
                ulps = numpy.abs(ours.view(numpy.int32).astype(numpy.int64) - expected.view(numpy.int32))
                self.assertLessEqual(int(ulps.max()), 1)

    def test_random_pictures_of_many_shapes_and_modes(self):
        random = numpy.random.default_rng(0)
        for height, width, mode in [(1, 1, "RGB"), (7, 400, "RGB"), (301, 223, "RGB"), (224, 224, "RGB"), (91, 64, "L"),
                                    (130, 257, "RGBA"), (50, 60, "LA"), (255, 256, "P")]:
            channels = {"L": 1, "LA": 2, "P": 1, "RGB": 3, "RGBA": 4}[mode]
            pixels = random.integers(0, 256, (height, width, channels), numpy.uint8)
            if mode == "P":
                image = Image.fromarray(random.integers(0, 256, (height, width, 3), numpy.uint8)).quantize(64)
            else:
                image = Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels, mode)
            path = self.folder / f"{mode}_{height}x{width}.png"
            image.save(path)
            self.compare(path)

    def test_the_shipped_scenes(self):
        self.assertTrue(scenes())
        for path in scenes():
            self.compare(path)

    @needs_shared
    def test_the_photos(self):
        self.assertTrue(photos())
        for path in photos():
            # a JPEG's pixels differ between decoders by up to 3 levels: compare from the same pixels
            lossless = self.folder / (path.stem + ".png")
            Image.open(path).convert("RGB").save(lossless)
            self.compare(lossless)


if __name__ == "__main__":
    unittest.main(verbosity=2)
