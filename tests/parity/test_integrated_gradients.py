"""Integrated Gradients and Input x Gradient against Captum; Guided IG and Blur IG against PAIR; who is right where they differ."""

import json
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

import numpy
import scipy.ndimage
import torch
from captum.attr import InputXGradient, IntegratedGradients
from peers import (EXAMPLES, MEAN, PREPARATIONS, SHARED, STD, TOLERANCE, WAYS, attribute, lossless, needs_shared, photos,
                   relative, scenes)
from PIL import Image
from torchvision import transforms
from torchvision.models import resnet18

# PAIR's package imports scikit-image and TensorFlow for methods that are not used here.
_absent = ["skimage", "skimage.morphology", "skimage.segmentation", "skimage.transform", "tensorflow", "tensorflow.compat",
           "tensorflow.compat.v1", "saliency.tf1"]
with unittest.mock.patch.dict(sys.modules, {name: unittest.mock.MagicMock() for name in _absent}):
    from saliency.core import INPUT_OUTPUT_GRADIENTS, BlurIG, GuidedIG

# What differs from TOLERANCE:
CAPTUMS_NODES = {"float64": 1e-6}  # Captum's Integrated Gradients has nodes in float32
# At each step Guided IG moves the pixels of the smallest gradients; rounding changes which, and so the path. Measured 0.22,
# prepared or not.
GUIDED_PATH = {"float32": 0.4}


def pixels(path, size, dtype):
    steps = [transforms.Resize(size), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    return transforms.Compose(steps)(Image.open(path).convert("RGB"))[None].to(dtype)


def black(x):
    return ((0 - torch.tensor(MEAN)) / torch.tensor(STD)).to(x.dtype)[None, :, None, None].expand_as(x).contiguous()


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def ours(self, model, image, size, method, *more, dtype="float64", prepare="none"):
        done = attribute("--model", model, "--image", image, "--size", f"{size[0]}x{size[1]}", "--method", method, "--dtype",
                         dtype, "--prepare", prepare, "--output", self.folder, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        summary = json.loads((self.folder / "prediction.json").read_text())
        return torch.load(self.folder / f"{method}.pt"), summary["methods"][method], summary

    def compare_in_all_ways(self, title, truth, *call, bounds={}):
        """What `ours` gives for `call` in all WAYS, each compared with the truth; `bounds` are in the place of TOLERANCE."""
        results = []
        for prepare, dtype in WAYS:
            ours, figures, _ = self.ours(*call, prepare=prepare, dtype=dtype)
            print(f"{title}, {prepare}, {dtype}: {relative(ours, truth):.1e}")
            with self.subTest(title, prepare=prepare, dtype=dtype):
                self.assertEqual(ours.dtype, getattr(torch, dtype))
                self.assertLess(relative(ours, truth), bounds.get(dtype, TOLERANCE[dtype]))
            results.append((ours, figures))
        return results


class Captum(Case):
    def compare(self, path, image, size, baselines=("black",)):
        model, x = torch.jit.load(path).eval().double(), pixels(image, size, torch.float64)
        target = int(model(x).argmax())
        name, call = f"{path.name}, {image.name}", (path, image, size)
        truth = InputXGradient(model).attribute(x.clone(), target=target).detach()
        self.compare_in_all_ways(f"{name}, Input x Gradient", truth, *call, "input_x_gradient", "--target", target)
        for baseline in baselines:
            start = black(x) if baseline == "black" else torch.zeros_like(x)
            truth = IntegratedGradients(model).attribute(x, start, target=target, n_steps=12, internal_batch_size=4).detach()
            with torch.no_grad():
                change = float(model(x)[0, target] - model(start)[0, target])
            for ours, figures in self.compare_in_all_ways(
                    f"{name}, Integrated Gradients from {baseline}", truth, *call, "integrated_gradients", "--steps", 12,
                    "--baseline", baseline, "--target", target, bounds=CAPTUMS_NODES):
                self.assertAlmostEqual(figures["completeness_error"], float(ours.double().sum()) - change, delta=1e-3 * abs(change))
                self.assertAlmostEqual(figures["relative_completeness_error"], abs(figures["completeness_error"] / change), delta=1e-3)

    def test_the_shipped_model(self):
        self.compare(EXAMPLES / "scenes.pt", scenes()[0], (96, 96), ("zero", "black"))

    @needs_shared
    def test_mobilenet_v2(self):
        self.compare(SHARED / "models/mobilenet_v2.pt", lossless(photos()[0], self.folder), (224, 224))

    def test_a_resnet(self):
        torch.manual_seed(0)
        path = self.folder / "resnet18.pt"
        torch.jit.trace(resnet18(weights=None).eval(), torch.zeros(1, 3, 96, 96)).save(str(path))
        self.compare(path, scenes()[0], (96, 96))


class Square(torch.nn.Module):
    """Logits that are sums of a power of each channel, so that the truth is known."""

    def __init__(self, exponent: int):
        super().__init__()
        self.exponent = exponent

    def forward(self, x):
        return (x**self.exponent).sum((2, 3))


class WhereCaptumIsWrong(Case):
    def exact(self, exponent, steps, captum_method):
        model = Square(exponent)
        path = self.folder / "power.pt"
        torch.jit.script(model).save(str(path))
        x = pixels(scenes()[0], (8, 8), torch.float64)
        truth = torch.zeros_like(x)
        target = int(model(x).argmax())
        truth[:, target] = x[:, target] ** exponent
        captum = IntegratedGradients(model).attribute(x, torch.zeros_like(x), target=target, n_steps=steps,
                                                      method=captum_method).detach()
        print(f"x^{exponent}, {steps} steps: Captum's {captum_method} is {relative(captum, truth):.1e} off")
        for ours, figures in self.compare_in_all_ways("ours", truth, path, scenes()[0], (8, 8), "integrated_gradients",
                                                      "--steps", steps, "--baseline", "zero", "--target", target):
            exact = 1e-14 if ours.dtype == torch.float64 else 1e-6
            self.assertLess(relative(ours, truth), exact)
            self.assertLess(figures["relative_completeness_error"], exact)
        return relative(captum, truth)

    def test_captums_trapezoid_loses_a_share_of_a_linear_model(self):
        self.assertAlmostEqual(self.exact(1, 10, "riemann_trapezoid"), 0.1, places=6)

    def test_captums_nodes_are_float32(self):
        self.assertGreater(self.exact(5, 20, "gausslegendre"), 1e-10)

    def test_captum_changes_bfloat16_to_float32(self):
        model = Square(2)
        path = self.folder / "power.pt"
        torch.jit.script(model).save(str(path))
        x = pixels(scenes()[0], (8, 8), torch.bfloat16)
        try:
            captum = IntegratedGradients(model).attribute(x, target=0, n_steps=3).dtype
        except (RuntimeError, AssertionError, TypeError) as error:
            captum = error
        self.assertNotEqual(captum, torch.bfloat16)
        for prepare in PREPARATIONS:
            ours, _, _ = self.ours(path, scenes()[0], (8, 8), "integrated_gradients", "--steps", 3, dtype="bfloat16",
                                   prepare=prepare)
            self.assertEqual(ours.dtype, torch.bfloat16)


class Pair(Case):
    """PAIR works on (H,W,C) arrays and takes a function for the gradient."""

    def setUp(self):
        super().setUp()
        self.path, self.image, self.size = EXAMPLES / "scenes.pt", scenes()[0], (96, 96)
        self.model = torch.jit.load(self.path).eval().double()
        self.x = pixels(self.image, self.size, torch.float64)
        self.target = int(self.model(self.x).argmax())

    def gradient(self, batch, call_model_args=None, expected_keys=None):
        x = torch.tensor(numpy.asarray(batch)).permute(0, 3, 1, 2).requires_grad_()
        (gradient,) = torch.autograd.grad(self.model(x)[:, self.target].sum(), x)
        return {INPUT_OUTPUT_GRADIENTS: gradient.permute(0, 2, 3, 1).numpy()}

    def test_guided_ig(self):
        def quantile(values, fraction, interpolation):  # numpy 2 took the name away that PAIR uses
            return original(values, fraction, method=interpolation)

        original, numpy.quantile = numpy.quantile, quantile
        self.addCleanup(setattr, numpy, "quantile", original)
        truth = GuidedIG().GetMask(self.x[0].permute(1, 2, 0).numpy(), self.gradient,
                                   x_baseline=black(self.x)[0].permute(1, 2, 0).numpy(), x_steps=30)
        truth = torch.tensor(truth).permute(2, 0, 1)[None]
        for _, figures in self.compare_in_all_ways("Guided IG against PAIR's", truth, self.path, self.image, self.size,
                                                   "guided_ig", "--steps", 30, "--target", self.target, bounds=GUIDED_PATH):
            self.assertEqual(figures["evaluations"], 30)

    def test_blur_ig(self):
        # PAIR's steps are one-sided and its derivative a finite difference: the two meet as the steps shrink
        errors = []
        fine, figures, _ = self.ours(self.path, self.image, self.size, "blur_ig", "--steps", 1000)
        self.assertLess(figures["relative_completeness_error"], 0.01)
        for steps in (50, 200, 800):
            truth = BlurIG().GetMask(self.x[0].permute(1, 2, 0).numpy(), self.gradient, steps=steps, batch_size=1)
            errors.append(relative(torch.tensor(truth).permute(2, 0, 1)[None], fine))
        print("PAIR's Blur IG of 50, 200, 800 steps is off ours of 1000 by", ", ".join(f"{e:.1e}" for e in errors))
        self.assertLess(errors[2], errors[1])
        self.assertLess(errors[1], errors[0])
        self.assertLess(errors[2], 0.05)
        coarse, _, _ = self.ours(self.path, self.image, self.size, "blur_ig", "--steps", 50)
        self.compare_in_all_ways("Blur IG", coarse, self.path, self.image, self.size, "blur_ig", "--steps", 50)

    def test_the_blur_is_scipys(self):
        # on a linear model Blur IG is weight times (input - blurred input)
        class Linear(torch.nn.Module):
            def __init__(self, weight):
                super().__init__()
                self.weight = torch.nn.Parameter(weight)

            def forward(self, x):
                return (x * self.weight).sum((2, 3))

        path = self.folder / "linear.pt"
        torch.manual_seed(0)
        weight = torch.randn(3, 96, 96).double() + 1
        torch.jit.script(Linear(weight)).save(str(path))
        target = 1
        blurred = scipy.ndimage.gaussian_filter(self.x.numpy(), [0, 0, 50, 50], mode="constant")
        truth = torch.zeros_like(self.x)
        truth[:, target] = ((self.x - torch.tensor(blurred)) * weight)[:, target]
        self.compare_in_all_ways("the blur against scipy's", truth, path, self.image, self.size, "blur_ig", "--steps", 2,
                                 "--target", target)


class Program(Case):
    def test_tolerance_baselines_and_figures(self):
        model, image, size = EXAMPLES / "scenes.pt", scenes()[0], (96, 96)
        x, net = pixels(image, size, torch.float64), torch.jit.load(EXAMPLES / "scenes.pt").eval().double()
        fine, _, summary = self.ours(model, image, size, "integrated_gradients", "--steps", 1000)
        ours, figures, _ = self.ours(model, image, size, "integrated_gradients", "--tolerance", 0.01)
        self.assertLessEqual(figures["relative_completeness_error"], 0.01)
        self.assertLessEqual(figures["map_error"], 0.05)
        self.assertIs(figures["converged"], True)
        error = float((ours - fine).abs().sum() / fine.abs().sum())
        self.assertLess(figures["map_error"] / error, 3)
        self.assertGreater(figures["map_error"] / error, 1 / 3)
        for prepare in PREPARATIONS:
            idgi, figures, _ = self.ours(model, image, size, "idgi", "--steps", 20, prepare=prepare)
            with torch.no_grad():
                change = float(net(x)[0, summary["target"]] - net(black(x))[0, summary["target"]])
            self.assertAlmostEqual(float(idgi.sum()), change, delta=1e-9)
            self.assertLess(figures["relative_completeness_error"], 1e-9)
        blurred = torch.tensor(scipy.ndimage.gaussian_filter(x.numpy(), [0, 0, 10, 10], mode="nearest"))
        for baseline, start in ((scenes()[1], pixels(scenes()[1], size, torch.float64)), ("blur", blurred)):
            truth = IntegratedGradients(net).attribute(x, start, target=summary["target"], n_steps=50).detach()
            self.compare_in_all_ways(f"from {baseline}", truth, model, image, size, "integrated_gradients", "--baseline",
                                     baseline, bounds=CAPTUMS_NODES)


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
