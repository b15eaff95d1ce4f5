"""load_image on the files of make_image_suite.py: Pillow's pixels, or an error in one sentence; never a crash, never much
memory or time.

Environment: SALIENCE_PICTURE_TOOL, the program of picture_tool.cpp (required).
"""

import collections
import os
import pathlib
import resource
import subprocess
import tempfile
import time
import unittest
import warnings

import numpy
from make_image_suite import make
from PIL import Image

TOOL = os.environ["SALIENCE_PICTURE_TOOL"]
MEMORY = 512 << 20  # of all files of the suite, the largest needs a few megabytes


def pillow_pixels(path):
    """What load_image promises, from Pillow: (H, W, C)."""
    with Image.open(path) as image:
        mode = image.mode
        if mode.startswith("I"):
            return (numpy.asarray(image) >> 8).astype(numpy.uint8)[..., None]
        if image.format == "GIF" or image.format == "PSD" or (mode == "P" and "transparency" in image.info):
            image = image.convert("RGBA")
        elif image.format == "BMP" or mode in ("P", "CMYK"):
            image = image.convert("RGB")
        elif mode == "1":
            image = image.convert("L")
        array = numpy.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def true_pixels(case):
    return (pillow_pixels(case.path) if case.truth is None else case.truth), case.tolerance


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of modes and sizes
            cls.cases = make(cls.folder, true_pixels)

    def load_all(self):
        """The answers of one process to all cases: arrays, or texts."""
        lines = "".join(f"load\t{case.path}\t{case.path}.raw\n" for case in self.cases)
        before = time.monotonic()
        done = subprocess.run([TOOL], input=lines, capture_output=True, text=True, errors="replace", timeout=120,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)))
        self.assertEqual(done.returncode, 0, done.stderr)
        print(f"{len(self.cases)} files in {time.monotonic() - before:.1f} s, below {MEMORY >> 20} MiB")
        statuses = done.stdout.splitlines()
        self.assertEqual(len(statuses), len(self.cases), "an error is one line")
        return [self.answer(*pair) for pair in zip(self.cases, statuses)]

    def answer(self, case, status):
        if status != "ok":
            self.assertTrue(status.startswith(f"error: {case.path}: "), f"{case.kind}: {status}")
            return status
        header, _, values = pathlib.Path(f"{case.path}.raw").read_bytes().partition(b"\n")
        return numpy.frombuffer(values, numpy.uint8).reshape([int(size) for size in header.split()])

    def is_right(self, case, answer):
        truth, tolerance = true_pixels(case)
        if case.kind.startswith("GIF") and answer.shape == truth.shape:  # a clear pixel has no colour
            answer, truth = (numpy.where(a[..., 3:] > 0, a, 0) for a in (answer, truth))
        return answer.shape == truth.shape and numpy.abs(answer.astype(int) - truth).max() <= tolerance

    def test_every_file_gives_the_right_pixels_or_an_error(self):
        table = collections.defaultdict(collections.Counter)
        wrong = []
        for case, answer in zip(self.cases, self.load_all()):
            picture = isinstance(answer, numpy.ndarray)
            table[case.kind]["picture" if picture else "error"] += 1
            refused_rightly = not picture and case.must != "picture"
            if not (refused_rightly or case.must == "any" or (picture and case.must != "error" and self.is_right(case, answer))):
                wrong.append(f"{case.kind}, {case.path.name}: must be {case.must}, is {answer.shape if picture else answer}")
        print(f"{'':70} tried   read  refused")
        for kind, counts in table.items():
            print(f"{kind:70} {counts.total():5} {counts['picture']:6} {counts['error']:8}")
        self.assertFalse(wrong, "\n".join(wrong))
        self.assertGreater(len(self.cases), 2000)


if __name__ == "__main__":
    unittest.main(verbosity=2)
