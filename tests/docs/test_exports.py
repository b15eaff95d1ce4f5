"""The Python blocks of docs/how-to/export.md, run with untrained weights (theirs would be downloaded), and what they
export, explained as the page says. Needs the parity tests' environment and their folder on PYTHONPATH; timm may be missing."""

import contextlib
import importlib.util
import io
import pathlib
import re
import tempfile
import unittest
import unittest.mock

import peers  # before torchvision, which it mends
import torch
import torchvision

PAGE = pathlib.Path(__file__).parents[2] / "docs/how-to/export.md"
BLOCKS = re.findall(r"^## (\w+)\n+```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
untrained_resnet50 = torchvision.models.resnet50


class Exports(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        torch.manual_seed(0)

    def run_block(self, title):
        """What the block under that heading prints."""
        (block,) = [code for heading, code in BLOCKS if heading == title]
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(block, {})
        return printed.getvalue()

    def check_explained(self, model, *more):
        done = peers.attribute("--model", self.folder / model, "--image", peers.scenes()[0], "--method", "grad_cam",
                               "--output", self.folder, *more)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(tuple(torch.load(self.folder / "grad_cam.pt").shape), (1, 1, 224, 224))

    def test_torchvision(self):
        with unittest.mock.patch("torchvision.models.resnet50", lambda weights: untrained_resnet50(weights=None)):
            printed = self.run_block("torchvision")
        self.assertIn("crop_size=[224]", printed)
        self.assertIn("resize_size=[232]", printed)  # as the C++ block below it says
        self.check_explained("resnet50.pt2", "--labels", self.folder / "imagenet_labels.txt")

    @unittest.skipUnless(importlib.util.find_spec("timm"), "there is no timm")
    def test_timm(self):
        import timm
        untrained = timm.create_model
        with unittest.mock.patch("timm.create_model", lambda name, pretrained: untrained(name)):
            printed = self.run_block("timm")
        self.assertIn("'crop_pct'", printed)
        self.check_explained("convnext.pt2")


if __name__ == "__main__":
    unittest.main()
