"""slic, felzenszwalb and quickshift against scikit-image, live: the same labels in 99.9 % of the pixels, and in most
pictures in all.

Where edges cost the same, scikit-image's felzenszwalb takes them as an unstable sort leaves them, which depends on the
processor; it is compared as it is where costs differ (a smoothed picture), and with a stable sort everywhere.

Environment: SALIENCE_PICTURE_TOOL, the program of picture_tool.cpp (required); SALIENCE_SHARED_DATA, a folder whose
images/ holds photos (optional).
"""

import os
import pathlib
import subprocess
import tempfile
import unittest
import unittest.mock

import numpy
from PIL import Image
from skimage.segmentation import felzenszwalb, quickshift, slic

TOOL = os.environ["SALIENCE_PICTURE_TOOL"]
PHOTOS = pathlib.Path(os.environ.get("SALIENCE_SHARED_DATA") or "/nonexistent") / "images"
AT_LEAST = 0.999

SLIC_DEFAULTS = {"n_segments": 100, "compactness": 10, "max_num_iter": 10, "sigma": 0, "enforce_connectivity": True,
                 "min_size_factor": 0.5, "max_size_factor": 3, "slic_zero": False}  # the tool's order
SLIC_OPTIONS = ({}, {"n_segments": 50}, {"n_segments": 50, "sigma": 1}, {"n_segments": 300, "compactness": 1},
                {"n_segments": 200, "compactness": 30, "max_num_iter": 4}, {"slic_zero": True},
                {"enforce_connectivity": False}, {"n_segments": 7, "sigma": 2.3},
                {"min_size_factor": 0.2, "max_size_factor": 1.5}, {"n_segments": 2000, "max_num_iter": 2})
QUICKSHIFT_OPTIONS = ((1, 5, 10, 0, 42), (0.2, 4, 200, 0, 42), (0.5, 3, 6, 0, 7), (1, 2, 20, 1, 42))


def painted(height, width):
    """Blobs of colour on a slope, with noise."""
    random = numpy.random.default_rng(0)
    y, x = numpy.mgrid[:height, :width]
    picture = numpy.stack([80 + 0.4 * x, 60 + 0.5 * y, 120 + 0.2 * (x - y)], axis=-1)
    for _ in range(12):
        inside = numpy.hypot(y - random.uniform(0, height), x - random.uniform(0, width)) < random.uniform(8, 40)
        picture[inside] = random.uniform(0, 255, 3)
    return numpy.clip(picture + random.normal(0, 6, picture.shape), 0, 255).astype(numpy.uint8)


def pictures():
    result = {"painted": painted(150, 190)}
    for path in sorted(PHOTOS.glob("*.*")) if PHOTOS.is_dir() else ():
        result[path.stem] = numpy.asarray(Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR))
    return result


def gray(picture):
    return numpy.asarray(Image.fromarray(picture).convert("L"))


class Superpixels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.pictures = pictures()

    def ours(self, command, picture, *options):
        picture = numpy.ascontiguousarray(picture)
        height, width, channels = (*picture.shape, 1)[:3]
        raw, out = self.folder / "in", self.folder / "out"
        raw.write_bytes(f"{height} {width} {channels}\n".encode() + picture.tobytes())
        line = "\t".join(map(str, (command, raw, *options, out)))
        done = subprocess.run([TOOL], input=line + "\n", capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "ok\n")
        header, _, labels = out.read_bytes().partition(b"\n")
        height, width, count = map(int, header.split())
        labels = numpy.frombuffer(labels, numpy.int32).reshape(height, width)
        self.assertEqual(labels.max() + 1, count)
        return labels

    def compare(self, name, ours, theirs):
        """The very labels, not up to renumbering; those of theirs may begin at 1."""
        agreement = (ours == theirs - theirs.min()).mean()
        self.assertGreaterEqual(agreement, AT_LEAST, f"{name}: {ours.max() + 1} and {theirs.max() + 1} segments")
        return agreement

    def summary(self, method, agreements):
        equal = sum(agreement == 1 for agreement in agreements)
        print(f"{method}: {equal} of {len(agreements)} cases equal in each pixel, the least in {min(agreements):.5%}")

    def test_slic(self):
        agreements = []
        for name, picture in self.pictures.items():
            for options in SLIC_OPTIONS:
                full = SLIC_DEFAULTS | options
                values = [int(value) if isinstance(value, bool) else value for value in full.values()]
                ours = self.ours("slic", picture, *values)
                theirs = slic(picture, **options)
                if not full["enforce_connectivity"]:  # ours leaves out the numbers of centres without pixels
                    theirs = numpy.unique(theirs, return_inverse=True)[1].reshape(theirs.shape)
                agreements.append(self.compare(f"{name} {options}", ours, theirs))
                if "compactness" not in options:  # gray is not in Lab: values from 0 to 1
                    values[1] = 0.1
                    theirs = slic(gray(picture), **options, compactness=0.1, channel_axis=None)
                    theirs = numpy.unique(theirs, return_inverse=True)[1].reshape(theirs.shape)
                    ours = self.ours("slic", gray(picture), *values)
                    agreements.append(self.compare(f"gray {name} {options}", ours, theirs))
        self.summary("slic", agreements)

    def compare_felzenszwalb(self, options):
        agreements = []
        for name, picture in self.pictures.items():
            inputs = (("felzenszwalb", picture), ("felzenszwalb", gray(picture)),
                      ("felzenszwalb64", picture / 127.5 - 1))  # as XRAI has it
            for scale, sigma, minimum in options:
                for command, values in inputs:
                    axis = -1 if values.ndim == 3 else None
                    theirs = felzenszwalb(values, scale, sigma, minimum, channel_axis=axis)
                    ours = self.ours(command, values, scale, sigma, minimum)
                    agreements.append(self.compare(f"{name} {command} {scale, sigma, minimum}", ours, theirs))
        return agreements

    def test_felzenszwalb(self):
        xrai = [(scale, 0.8, 150) for scale in (50, 250, 1200)]
        self.summary("felzenszwalb", self.compare_felzenszwalb([*xrai, (1, 0.8, 20)]))

    def test_felzenszwalb_with_a_stable_sort(self):
        argsort = numpy.argsort

        def stable(values, *arguments, **options):
            return argsort(values, *arguments, **{"kind": "stable"} | options)

        with unittest.mock.patch("numpy.argsort", stable):
            self.summary("felzenszwalb, stable", self.compare_felzenszwalb([(10, 0, 20), (100, 0.3, 50), (200, 3, 5)]))

    def test_quickshift(self):
        agreements = []
        for name, picture in self.pictures.items():
            small = picture[:112, :112]
            for ratio, kernel, distance, sigma, seed in QUICKSHIFT_OPTIONS:
                theirs = quickshift(small, ratio=ratio, kernel_size=kernel, max_dist=distance, sigma=sigma, rng=seed)
                ours = self.ours("quickshift", small, ratio, kernel, distance, sigma, seed)
                agreements.append(self.compare(f"{name} {ratio, kernel, distance, sigma, seed}", ours, theirs))
        flat = numpy.full((40, 40, 3), 90, numpy.uint8)  # where the noise decides everything
        ours = self.ours("quickshift", flat, 1, 2, 4, 0, 42)
        agreements.append(self.compare("flat", ours, quickshift(flat, kernel_size=2, max_dist=4)))
        self.summary("quickshift", agreements)


if __name__ == "__main__":
    unittest.main(verbosity=2)
