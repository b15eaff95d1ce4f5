"""The metrics against Captum, Quantus, pytorch-grad-cam and scipy, live, on the same model, maps and noise."""

import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
import warnings

import numpy
import torch
from captum.attr import IntegratedGradients
from captum.metrics import infidelity, sensitivity_max
from peers import program
from scipy import ndimage, stats

def batches(count, size):
    """scikit-learn's gen_batches, of which Quantus makes use."""
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


# Both peers import large packages for what is not used here; without them Quantus is 2 MB.
_absent = {name: unittest.mock.MagicMock() for name in ("cv2", "pandas", "skimage", "skimage.segmentation", "sklearn",
                                                        "sklearn.decomposition", "sklearn.metrics", "sklearn.utils")}
_absent["sklearn.utils"].gen_batches = batches
with unittest.mock.patch.dict(sys.modules, _absent), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pytorch_grad_cam.metrics.cam_mult_image import CamMultImageConfidenceChange
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
    try:
        import quantus
        from quantus.functions.perturb_func import noisy_linear_imputation
    except ImportError as error:
        quantus, without = None, error

FLOAT32 = 1e-6  # what may differ where a peer computes in float32, or adds 1e-7 to what it divides by
N, CLASSES, FRACTIONS = 4, 5, (0.25, 0.5, 0.75)


def needs_quantus(test):
    return unittest.skipIf(quantus is None, quantus or f"Quantus is not importable: {without}")(test)


def write(path, array):
    array = numpy.ascontiguousarray(array, numpy.float64)
    path.write_bytes((" ".join(map(str, array.shape)) + "\n").encode() + array.tobytes())


def read(path):
    sizes, values = path.read_bytes().split(b"\n", 1)
    return torch.from_numpy(numpy.frombuffer(values, numpy.float64).reshape([int(size) for size in sizes.split()]).copy())


class Network(torch.nn.Module):
    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = torch.nn.Parameter(first), torch.nn.Parameter(second)

    def forward(self, x):
        x = x.to(self.first.dtype)  # Quantus gives float32
        return (x.flatten(1) @ self.first).relu() @ self.second


class Setup:
    """One model, its pictures and maps, and what our program makes of them."""

    def __init__(self, channels, height=12, width=16):
        torch.manual_seed(channels)
        normal = lambda *sizes: torch.randn(*sizes, dtype=torch.float64)  # noqa: E731
        self.input = normal(N, channels, height, width)
        self.values = normal(N, channels, height, width)
        self.map, self.other = normal(N, height, width), normal(N, height, width)
        self.map[1] += self.other[1]
        self.other[2, 3:6] = 0.0  # ties
        self.mask = torch.zeros(N, height, width, dtype=torch.float64)
        for n in range(N):
            self.mask[n, 1 + n:7 + n, 2 * n:2 * n + 8] = 1
        self.map[0, 3, 3] = 9.0  # inside
        self.map[3, 0, 0] = 9.0  # outside
        first, second = 0.2 * normal(channels * height * width, 32), normal(32, CLASSES)
        self.model = Network(first, second).eval()
        self.target = self.model(self.input).argmax(1)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            tensors = dict(input=self.input, values=self.values, map=self.map, other=self.other, mask=self.mask,
                           target=self.target, first=first, second=second)
            for name, tensor in tensors.items():
                write(folder / f"{name}.raw", tensor.numpy())
            subprocess.run([program("SALIENCE_METRIC_TOOL"), folder], check=True)
            self.ours = {path.stem: read(path) for path in folder.glob("*.raw") if path.stem not in tensors}

    @torch.no_grad()
    def probability(self, x):
        return self.model(x).softmax(1).gather(1, self.target[:, None])[:, 0]

    def asked(self, name):
        """The inputs that our metric drew, as Captum orders them: all of a sample one after the other."""
        drawn = self.ours[name]
        return drawn.reshape(-1, N, *drawn.shape[1:]).transpose(0, 1).flatten(0, 1)


class Metrics(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.color, cls.gray = Setup(channels=3), Setup(channels=1)

    def same(self, ours, theirs, tolerance=1e-9):
        theirs = torch.as_tensor(numpy.asarray(theirs), dtype=torch.float64)
        self.assertEqual(ours.shape, theirs.shape)
        self.assertLessEqual(float((ours - theirs).abs().max()), tolerance)

    # ---- Captum

    def test_infidelity(self):
        for setup in (self.color, self.gray):
            moved = setup.asked("infidelity_inputs")
            perturb = lambda x: (x - moved, moved)  # noqa: E731, B023
            for normalize, name in ((False, "infidelity"), (True, "infidelity_normalized")):
                theirs = infidelity(setup.model, perturb, setup.input, setup.values, target=setup.target,
                                    n_perturb_samples=6, normalize=normalize)
                self.same(setup.ours[name], theirs.detach())

    def test_sensitivity(self):
        def gradient(x, target):
            x = x[0] if isinstance(x, tuple) else x
            with torch.enable_grad():
                x = x.detach().requires_grad_(True)
                return torch.autograd.grad(self.setup.model(x).gather(1, target[:, None]).sum(), x)

        for self.setup in (self.color, self.gray):
            theirs = sensitivity_max(gradient, self.setup.input, lambda x: self.setup.asked("sensitivity_inputs"),
                                     n_perturb_samples=6, norm_ord=2, target=self.setup.target)
            self.assertGreater(float(theirs.min()), 0.01)
            self.same(self.setup.ours["sensitivity"], theirs)

    def test_completeness(self):
        for setup in (self.color, self.gray):
            theirs = IntegratedGradients(setup.model).compute_convergence_delta(
                setup.values, torch.full_like(setup.input, 0.5), setup.input, target=setup.target)
            self.same(setup.ours["completeness"], theirs.detach())

    # ---- pytorch-grad-cam and scipy

    def test_confidence(self):
        for setup in (self.color, self.gray):
            shown = setup.map.clamp(min=0)
            shown = (shown / shown.amax((1, 2), keepdim=True)).numpy()
            targets = [ClassifierOutputSoftmaxTarget(int(target)) for target in setup.target]
            change = CamMultImageConfidenceChange()(setup.input, shown, targets, setup.model)
            self.assertTrue((change < 0).any())
            whole = setup.probability(setup.input).numpy()
            self.same(setup.ours["confidence_drop"], numpy.maximum(0, -change) / whole, FLOAT32)
            self.same(setup.ours["confidence_increase"], change > 0)

    def test_correlations(self):
        for setup in (self.color, self.gray):
            pairs = [(a.flatten().numpy(), b.flatten().numpy()) for a, b in zip(setup.map, setup.other)]
            self.same(setup.ours["pearson"], [stats.pearsonr(*pair)[0] for pair in pairs])
            self.same(setup.ours["spearman"], [stats.spearmanr(*pair)[0] for pair in pairs])

    def test_overlaps(self):
        for setup in (self.color, self.gray):
            shared = [len(set(a.flatten().topk(20).indices.tolist()) & set(b.flatten().topk(20).indices.tolist()))
                      for a, b in zip(setup.map, setup.other)]
            self.same(setup.ours["top_k_overlap"], [count / 20 for count in shared])
            above, inside = setup.map > 0.2 * setup.map.amax((1, 2), keepdim=True), setup.mask.bool()
            self.same(setup.ours["iou"], (above & inside).sum((1, 2)) / (above | inside).sum((1, 2)), FLOAT32)

    def test_ssim_by_scipys_filter(self):
        """As scikit-image computes it, and so Quantus: uniform windows, of which the border is left out."""
        def windows(x):
            return ndimage.uniform_filter(x, 7)[3:-3, 3:-3]

        for setup in (self.color, self.gray):
            for n, (a, b) in enumerate(zip(setup.map.numpy(), setup.other.numpy())):
                length = max(a.max(), b.max()) - min(a.min(), b.min())
                c1, c2, ma, mb = (0.01 * length) ** 2, (0.03 * length) ** 2, windows(a), windows(b)
                va, vb, vab = (49 / 48 * (windows(p * q) - mp * mq) for p, q, mp, mq in
                               ((a, a, ma, ma), (b, b, mb, mb), (a, b, ma, mb)))
                value = (2 * ma * mb + c1) * (2 * vab + c2) / (ma ** 2 + mb ** 2 + c1) / (va + vb + c2)
                self.assertAlmostEqual(float(setup.ours["ssim"][n]), value.mean(), delta=1e-9)

    # ---- Quantus

    def quantus(self, metric, setup, values, *, softmax=False, mask=None, **options):
        """A metric of Quantus without its own normalisation of maps, sample by sample."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            measure = metric(normalise=False, disable_warnings=True, display_progressbar=False, **options)
            return numpy.array(measure(model=setup.model, x_batch=setup.input.numpy(), y_batch=setup.target.numpy(),
                                       a_batch=values[:, None].numpy().copy(), softmax=softmax, device="cpu",
                                       s_batch=None if mask is None else mask[:, None].numpy()))

    @needs_quantus
    def test_deletion_is_pixel_flipping(self):
        setup = self.gray  # Quantus flips the channels of a pixel one by one
        flip = dict(softmax=True, features_in_step=4, perturb_baseline=0.0)
        theirs = self.quantus(quantus.PixelFlipping, setup, setup.map, **flip)
        self.same(setup.ours["deletion"][:, 1:], theirs, FLOAT32)
        self.same(setup.ours["deletion"][:, 0], setup.probability(setup.input))
        steps = setup.ours["deletion"].shape[1] - 1
        area = numpy.trapezoid(setup.ours["deletion"].numpy(), dx=1 / steps, axis=1)
        self.same(setup.ours["deletion_area"], area)
        # Insertion of a map is the deletion of its opposite, backwards.
        backwards = self.quantus(quantus.PixelFlipping, setup, -setup.map, **flip)
        self.same(setup.ours["insertion"][:, :-1].flip(1), backwards, FLOAT32)

    def test_deletion_of_a_softmax_and_of_a_single_logit(self):
        for setup in (self.color, self.gray):
            self.same(setup.ours["deletion_ended"], setup.ours["deletion"], 1e-12)
            logits = [[] for _ in range(N)]
            for n, x in enumerate(setup.input):
                order = setup.map[n].flatten().sort(descending=True, stable=True).indices
                for step in range(setup.ours["deletion"].shape[1]):
                    x = x.clone()
                    x.flatten(1)[:, order[:4 * step]] = 0
                    logits[n].append(setup.model(x[None])[0, 0])
            yes = torch.tensor(logits, dtype=torch.float64).sigmoid()
            self.same(setup.ours["deletion_yes"], yes)
            self.same(setup.ours["deletion_no"], 1 - yes)
            self.assertGreater(float(yes.std(1).min()), 0.01)

    @needs_quantus
    def test_road(self):
        for setup in (self.color, self.gray):
            for name, sign in (("morf", -1), ("lerf", 1)):
                order = (sign * setup.map).flatten(1).argsort(dim=1, stable=True).numpy()
                for k, fraction in enumerate(FRACTIONS):
                    count = int(fraction * order.shape[1])
                    filled = [noisy_linear_imputation(picture.numpy(), gone[:count], noise=0.0)
                              for picture, gone in zip(setup.input, order)]
                    self.same(setup.ours[name][:, k], setup.probability(torch.from_numpy(numpy.stack(filled))))
        percentages = [int(100 * fraction) for fraction in FRACTIONS]
        accuracy = self.quantus(quantus.ROAD, self.gray, self.gray.map, percentages=percentages, noise=0.0).item()
        ours = self.gray.ours["road_predicted"].mean(0)
        self.same(ours, [accuracy[percentage] for percentage in percentages])

    @needs_quantus
    def test_figures_of_maps(self):
        for setup in (self.color, self.gray):
            theirs = {
                "pointing": self.quantus(quantus.PointingGame, setup, setup.map, mask=setup.mask, abs=False),
                "energy": self.quantus(quantus.RelevanceMassAccuracy, setup, setup.map, mask=setup.mask, abs=True),
                "gini": self.quantus(quantus.Sparseness, setup, setup.map, abs=True),
                "entropy": self.quantus(quantus.Complexity, setup, setup.map, abs=True),
            }
            self.assertEqual(set(theirs["pointing"].tolist()), {0, 1})
            for name, figure in theirs.items():
                with self.subTest(metric=name):
                    self.same(setup.ours[name], figure, FLOAT32)


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
