"""What takes parts of the picture away: against Captum and PAIR's saliency, given our draws, and against the papers' formulas.

Captum keeps sums and draws in float32 (see `in_double`). Random draws are made here as HashedDraw makes them.
"""

import contextlib
import math
import pathlib
import tempfile
import unittest.mock

import numpy
import scipy.ndimage
import torch
from captum._utils.models.linear_model import SkLearnLasso
from captum.attr import FeatureAblation, IntegratedGradients, KernelShap, Lime, Occlusion, ShapleyValues, ShapleyValueSampling
from networks import CLASSES, Case, picture
from peers import MEAN, STD, relative
from PIL import Image
from saliency.core import XRAI
from saliency.core.xrai import _get_segments_felzenszwalb
from torch import nn
from torch.nn import functional
from torchvision import transforms

SIZE = (32, 48)
TARGET = 3
SEED = 7
PEER = 1e-10  # the relative L2 distance from a peer. Measured: at most 4e-13.


class Traced(nn.Module):
    """The score depends on where things are."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 2, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
                                      nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.AdaptiveAvgPool2d((4, 6)))
        self.head = nn.Linear(12 * 24, CLASSES)

    def forward(self, x):
        return 10 * self.head(self.features(x).flatten(1))


class Exported(nn.Module):
    """Smooth, with a product of two branches."""

    def __init__(self):
        super().__init__()
        self.first, self.gate = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(3, 8, 4, 4)
        self.norm, self.head = nn.GroupNorm(2, 8), nn.Linear(8 * (SIZE[0] // 4) * (SIZE[1] // 4), CLASSES)

    def forward(self, x):
        return 10 * self.head(functional.silu(self.norm(self.first(x) * self.gate(x).sigmoid())).flatten(1))


def network(kind):
    torch.manual_seed(0)
    model = kind()
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(8, 3, *SIZE))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.double().eval()


@contextlib.contextmanager
def in_double():
    """Captum asks for float32 by these names; here they mean float64."""
    patched = unittest.mock.patch.multiple(torch, float=torch.float64, FloatTensor=torch.DoubleTensor)
    usual = torch.get_default_dtype()
    with patched, unittest.mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(usual)


# ---- our draws -----------------------------------------------------------------------------------------------

ALL = 2**64 - 1


def mix(x):
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & ALL
    x = (x ^ x >> 27) * 0x94D049BB133111EB & ALL
    return x ^ x >> 31


class Draw:
    """HashedDraw of hashed_draw.hpp."""

    def __init__(self, draw, seed=SEED):
        self.key = mix(mix(seed + 0xA0761D6478BD642F & ALL) ^ (draw + 1) * 0xE7037ED1A0B428DB & ALL)

    def bits(self, i):
        return mix(self.key + (i + 1) * 0x9E3779B97F4A7C15 & ALL)

    def uniform(self, i):
        return (self.bits(i) >> 11) * 2.0**-53

    def permutation(self, count):
        return sorted(range(count), key=self.bits)


def antithetic_orders(features, count):
    """Pairs of an order and the same backwards."""
    for draw in range(count // 2):
        order = Draw(draw).permutation(features)
        yield order
        yield order[::-1]


def paired_coalitions(features, count):
    """KernelShap's: a size by its weight, then the first so many of an order; and what it lacks."""
    sizes = numpy.cumsum([1 / (k * (features - k)) for k in range(1, features)])
    for draw in range(count // 2):
        place = Draw(draw).uniform(features) * sizes[-1]
        size = min(int(numpy.searchsorted(sizes, place, "right")), features - 2) + 1
        flags = torch.zeros(1, features, dtype=torch.long)
        flags[0, Draw(draw).permutation(features)[:size]] = 1
        yield flags
        yield 1 - flags


def perturbations(features, count):
    """Lime's: each feature is there with probability 1/2."""
    for draw in range(count):
        yield torch.tensor([[Draw(draw).bits(i) >> 63 for i in range(features)]])


def rise_masks(count, cells=7):
    size = [-(-places // cells) for places in SIZE]
    for k in range(count):
        draw = Draw(k)
        kept = torch.tensor([float(draw.uniform(i) < 0.5) for i in range(cells * cells)], dtype=torch.float64)
        up = functional.interpolate(kept.view(1, 1, cells, cells), [(cells + 1) * s for s in size], mode="bilinear")[0, 0]
        y, x = (int(draw.uniform(cells * cells + d) * size[d]) for d in range(2))
        yield up[y:y + SIZE[0], x:x + SIZE[1]]


def sobol_points(points, cells, draw):
    """The scrambled Sobol' sequence (Joe, Kuo 2008; Matousek 1998) of torch's engine, with our random bits."""
    bits = 30
    numbers = iter(draw.bits(i) >> 34 for i in range(cells * (bits + 1)))
    state, matrices = torch.zeros(cells, bits, dtype=torch.long), torch.zeros(cells, bits, bits, dtype=torch.long)
    shift = torch.zeros(cells, dtype=torch.long)
    for d in range(cells):
        shift[d] = next(numbers)
        for row in range(bits):
            random = next(numbers)
            matrices[d, row, :row] = torch.tensor([random >> column & 1 for column in range(row)], dtype=torch.long)
            matrices[d, row, row] = 1
    torch._sobol_engine_initialize_state_(state, cells)
    torch._sobol_engine_scramble_(state, matrices, cells)
    first = shift.double() / 2**bits
    rest = torch._sobol_engine_draw(shift.clone(), points - 1, state, cells, 0, torch.float64)[0]
    return torch.cat([first[None], rest])


# ---- the tests -----------------------------------------------------------------------------------------------

def grid(rows, columns):
    """--segments grid:ROWSxCOLUMNS"""
    y, x = (torch.arange(size) * cells // size for size, cells in zip(SIZE, (rows, columns), strict=True))
    return (y[:, None] * columns + x)[None, None]


def prepared(pixels):
    """(H, W, 3) uint8 as the network takes them."""
    return transforms.Normalize(MEAN, STD)(transforms.ToTensor()(pixels))[None].double()


def cells_of(values):
    """Masks (n, cells) of 8 x 8 cells as (n, 1, H, W)."""
    y, x = (torch.arange(size) * 8 // size for size in SIZE)
    return values.view(-1, 1, 8, 8)[:, :, y][:, :, :, x]


def smooth(cells):
    return functional.interpolate(cells.view(1, 1, 8, 8), SIZE, mode="bilinear")


class Perturbation(Case):
    @classmethod
    def setUpClass(cls):
        cls.x = picture(size=SIZE)
        cls.black = prepared(numpy.zeros((*SIZE, 3), dtype=numpy.uint8))
        cls.models = {"traced": network(Traced), "exported": network(Exported)}
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.files = {"traced": folder / "model.pt", "exported": folder / "model.pt2"}
        torch.jit.trace(cls.models["traced"], cls.x).save(str(cls.files["traced"]))
        sizes = ({0: torch.export.Dim("batch", min=1, max=256)},)
        program = torch.export.export(cls.models["exported"], (cls.x.repeat(2, 1, 1, 1),), dynamic_shapes=sizes)
        torch.export.save(program, cls.files["exported"])

    def run_method(self, kind, method, *more):
        """The values and the figures of prediction.json."""
        more = ("--prepare", "fast" if kind == "traced" else "none", "--target", TARGET, "--seed", SEED, *more)
        ours, summary = self.ours(self.files[kind], [method], *more, size=SIZE)
        return ours[method], summary["methods"][method]

    def near(self, title, ours, truth, bound=PEER):
        error = relative(ours, truth)
        print(f"{title}: {error:.1e}")
        with self.subTest(title):
            self.assertEqual(ours.dtype, torch.float64)
            self.assertEqual(ours.shape, truth.shape)
            self.assertGreater(float(truth.double().std() / truth.abs().max()), 1e-3)
            self.assertLess(error, bound)

    def score(self, kind, rows):
        with torch.no_grad():
            return torch.cat([self.models[kind](part)[:, TARGET] for part in rows.split(64)])

    def baselines(self):
        """By --baseline: (its word, the tensor)."""
        yield "black", self.black
        yield "zero", torch.zeros_like(self.x)
        path = self.folder / "other.png"
        other = numpy.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=numpy.uint8)
        Image.fromarray(other).save(path)
        yield path, prepared(other)

    # ---- windows and features

    def test_occlusion(self):
        cases = [((5, 9), (3, 2)), ((8, 8), (8, 5)), ((32, 3), (1, 3))]
        for kind in self.models:
            peer = Occlusion(self.models[kind])
            for (word, baseline), (window, stride) in zip(self.baselines(), cases, strict=True):
                sizes = [word for of in (("--window", window), ("--stride", stride)) for word in (of[0], "{}x{}".format(*of[1]))]
                with in_double():
                    truth = peer.attribute(self.x, (3, *window), (3, *stride), baseline, TARGET, perturbations_per_eval=32)
                ours, _ = self.run_method(kind, "occlusion", *sizes, "--baseline", word, "--chunk", 11)
                self.near(f"{kind}: occlusion {window}, {stride}", ours, truth)
            with in_double():
                truth = peer.attribute(self.x, (3, 3, 4), (3, 2, 2), self.black, TARGET, perturbations_per_eval=32)
            self.near(f"{kind}: occlusion by default", self.run_method(kind, "occlusion")[0], truth)

    def test_feature_ablation(self):
        colours = numpy.random.default_rng(1).integers(0, 5, (2 * SIZE[0], 2 * SIZE[1]))  # segments in many pieces
        Image.fromarray((50 * colours).astype(numpy.uint8)).save(self.folder / "mask.png")
        shrunk = torch.from_numpy(colours[1::2, 1::2].copy())[None, None]
        for kind in self.models:
            peer = FeatureAblation(self.models[kind])
            for word, mask in {"grid:5x7": grid(5, 7), self.folder / "mask.png": shrunk}.items():
                for named, baseline in self.baselines():
                    truth = peer.attribute(self.x, baseline, TARGET, feature_mask=mask, perturbations_per_eval=32)
                    ours, _ = self.run_method(kind, "feature_ablation", "--segments", word, "--baseline", named)
                    self.near(f"{kind}: feature ablation", ours, truth)

    # ---- Shapley values

    def complete(self, kind, ours, figures, mask, baseline):
        """Each feature's value once: they sum to the change of the score."""
        change = float(self.score(kind, self.x) - self.score(kind, baseline))
        features = [float(ours[0, 0][mask[0, 0] == i][0]) for i in range(int(mask.max()) + 1)]
        self.assertAlmostEqual(math.fsum(features), change, delta=1e-10 * abs(change))
        self.assertLess(abs(figures["completeness_error"]), 1e-10 * abs(change))

    def test_shapley_exact(self):
        for kind in self.models:
            for word, mask in {"grid:1x5": grid(1, 5), "grid:2x2": grid(2, 2)}.items():
                peer = ShapleyValues(self.models[kind])
                with in_double():
                    truth = peer.attribute(self.x, self.black, TARGET, feature_mask=mask, perturbations_per_eval=5)
                ours, figures = self.run_method(kind, "shapley_exact", "--segments", word)
                self.near(f"{kind}: Shapley values, {word}", ours, truth)
                self.complete(kind, ours, figures, mask, self.black)

    def test_shapley_sampling(self):
        mask, samples = grid(3, 5), 24
        how = {"feature_mask": mask, "n_samples": samples, "perturbations_per_eval": 15}
        for kind in self.models:
            for word, baseline in self.baselines():
                peer = ShapleyValueSampling(self.models[kind])
                peer.permutation_generator = antithetic_orders
                with in_double():
                    truth = peer.attribute(self.x, baseline, TARGET, **how)
                more = ("--segments", "grid:3x5", "--samples", samples, "--baseline", word)
                ours, figures = self.run_method(kind, "shapley_sampling", *more)
                self.near(f"{kind}: Shapley sampling", ours, truth)
                self.complete(kind, ours, figures, mask, baseline)
                self.assertEqual(figures["copies"], samples)

    def test_kernel_shap(self):
        mask, samples, features = grid(3, 5), 120, 15
        how = {"feature_mask": mask, "n_samples": samples + 2, "perturbations_per_eval": 61}

        class Given(KernelShap):
            def kernel_shap_perturb_generator(self, original, **_):
                yield torch.ones(1, features, dtype=torch.long)
                yield torch.zeros(1, features, dtype=torch.long)
                yield from paired_coalitions(features, samples)

        for kind in self.models:
            for word, baseline in self.baselines():
                peer = Given(self.models[kind])
                peer.inf_weight = 1e10  # of its two constraints, instead of 1e6; by more its own rounding is the error
                with in_double():
                    truth = peer.attribute(self.x, baseline, TARGET, **how)
                more = ("--segments", "grid:3x5", "--samples", samples, "--baseline", word)
                ours, figures = self.run_method(kind, "kernel_shap", *more)
                self.near(f"{kind}: Kernel SHAP and Captum", ours, truth, 1e-8)
                self.near(f"{kind}: Kernel SHAP and its least squares", ours, self.least_squares(kind, mask, baseline, samples))
                self.complete(kind, ours, figures, mask, baseline)
                self.assertEqual(figures["copies"], samples)

    def least_squares(self, kind, mask, baseline, samples):
        """The fit with the last value written as the change less the others."""
        features = int(mask.max()) + 1
        flags = torch.cat(list(paired_coalitions(features, samples)))
        rows = torch.where(flags[:, mask[0, 0]][:, None] == 1, self.x, baseline)
        gains = self.score(kind, rows) - self.score(kind, baseline)
        change = self.score(kind, self.x) - self.score(kind, baseline)
        z = flags.double()
        free = torch.linalg.lstsq(z[:, :-1] - z[:, -1:], (gains - z[:, -1] * change)[:, None], driver="gelsd").solution[:, 0]
        return torch.cat([free, change - free.sum()])[mask].expand_as(self.x)

    def test_kernel_shap_of_all_coalitions_is_exact(self):
        for kind in self.models:
            for word in ("grid:2x3", "grid:2x1"):
                exact, _ = self.run_method(kind, "shapley_exact", "--segments", word)
                ours, figures = self.run_method(kind, "kernel_shap", "--segments", word)
                self.near(f"{kind}: Kernel SHAP of all coalitions, {word}", ours, exact)
                self.assertEqual(figures["standard_error"], 0)

    def test_lime(self):
        mask, samples, features = grid(4, 5), 150, 20
        how = {"feature_mask": mask, "n_samples": samples, "perturbations_per_eval": 50}

        def given(original, **_):
            yield from perturbations(features, samples)

        for kind in self.models:
            for word, baseline in self.baselines():
                peer = Lime(self.models[kind], SkLearnLasso(alpha=0.01, tol=1e-15, max_iter=10**6), perturb_func=given)
                with in_double():
                    truth = peer.attribute(self.x, baseline, TARGET, **how)
                ours, figures = self.run_method(kind, "lime", "--segments", "grid:4x5", "--samples", samples, "--baseline", word)
                self.near(f"{kind}: LIME", ours, truth)
                self.assertTrue(torch.equal(ours == 0, truth == 0))
                self.assertEqual(figures["copies"], samples)

    # ---- random masks

    def test_rise(self):
        samples = 100
        masks = torch.stack(list(rise_masks(samples)))[:, None]
        for kind in self.models:
            for word, baseline in self.baselines():
                draws = self.score(kind, self.x * masks + baseline * (1 - masks)).view(-1, 1, 1, 1) * masks / 0.5
                ours, figures = self.run_method(kind, "rise", "--samples", samples, "--baseline", word)
                self.near(f"{kind}: RISE", ours, draws.mean(0, keepdim=True))
                error = float((draws.var(0).sum() / samples).sqrt() / draws.mean(0).norm())
                self.assertAlmostEqual(figures["standard_error"], error, delta=1e-9 * error)

    def test_sobol(self):
        designs, cells = 8, 64
        a, b = (sobol_points(designs, cells, Draw(which)) for which in range(2))
        b = b[Draw(2).permutation(designs)]
        masks = a[:, None].repeat(1, cells + 1, 1)
        for i in range(cells):
            masks[:, 1 + i, i] = b[:, i]
        masks = cells_of(masks.view(-1, cells))
        for kind in self.models:
            f = self.score(kind, self.x * masks + self.black * (1 - masks)).view(designs, cells + 1)
            indices = (f[:, :1] - f[:, 1:]).square().sum(0) / (2 * designs * f[:, 0].var())
            ours, _ = self.run_method(kind, "sobol", "--samples", designs)
            self.near(f"{kind}: Sobol' indices", ours, smooth(indices))

    def test_hsic(self):
        designs, cells = 101, 64
        masks = torch.zeros(designs, cells, dtype=torch.float64)
        for cell in range(cells):
            strata = torch.tensor(Draw(cell).permutation(designs))
            middle = Draw(cell).uniform(designs) < 0.5
            masks[:, cell] = (strata > designs // 2) | ((strata == designs // 2) & middle)
        centre = torch.eye(designs, dtype=torch.float64) - 1 / designs
        for kind in self.models:
            seen = cells_of(masks)
            f = self.score(kind, self.x * seen + self.black * (1 - seen))
            distance = (f[:, None] - f).abs()
            apart = distance[tuple(torch.triu_indices(designs, designs, 1))].sort().values
            l_kernel = (-0.5 * (distance / apart[len(apart) // 2]).square()).exp()
            values = [torch.trace((1.5 - (m[:, None] - m).square()) @ centre @ l_kernel @ centre) / designs**2 for m in masks.t()]
            ours, _ = self.run_method(kind, "hsic", "--samples", designs)
            self.near(f"{kind}: HSIC", ours, smooth(torch.stack(values)))

    # ---- regions

    def integrated(self, model, x, steps):
        """The mean from the pictures of the smallest and of the largest value."""
        ends = [torch.full_like(x, float(end)) for end in (x.min(), x.max())]
        peer = IntegratedGradients(model)
        with in_double():
            return sum(peer.attribute(x, end, TARGET, n_steps=steps, internal_batch_size=50) for end in ends).detach() / 2

    def test_xrai(self):
        for kind in self.models:
            base = self.integrated(self.models[kind], self.x, 20)
            segments = _get_segments_felzenszwalb(self.x[0].permute(1, 2, 0).numpy(), resize_image=False)
            truth = XRAI._xrai(base[0].amax(0).numpy(), segments)[0]
            ours, _ = self.run_method(kind, "xrai", "--steps", 20)
            self.near(f"{kind}: XRAI", ours, torch.from_numpy(truth)[None, None])

    def test_all_of_xrai_at_its_own_size(self):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.SiLU(), nn.Flatten(), nn.Linear(8 * 28 * 28, CLASSES)).double().eval()
        x = picture(size=(224, 224))
        path = self.saved(torch.jit.trace(model, x))
        ours, _ = self.ours(path, ["xrai"], "--target", TARGET, size=(224, 224))
        base = self.integrated(model, x, 100)[0].permute(1, 2, 0).numpy()
        truth = XRAI().GetMask(x[0].permute(1, 2, 0).numpy(), None, base_attribution=base)
        self.near("XRAI at 224 x 224", ours["xrai"], torch.from_numpy(truth)[None, None])

    # ---- a mask that is looked for

    def test_extremal_perturbation(self):
        for kind in self.models:
            truth = extremal(self.models[kind], self.x, 20)
            ours, _ = self.run_method(kind, "extremal_perturbation", "--steps", 20)
            self.near(f"{kind}: extremal perturbation", ours, truth, 1e-6)


def extremal(model, x, steps, area=0.1):
    """TorchRay's defaults, its sizes a thirty-second of the shorter side and three of these."""
    cell = min(x.shape[2:]) // 32
    sigma = 3 * cell
    reach = 1 + math.ceil(sigma / cell)
    padding = 1 + math.ceil(2 * sigma / cell)
    count = [math.ceil(size / cell) for size in x.shape[2:]]
    middle = [n + 2 * padding - 2 * reach for n in count]
    out = [cell * n - cell + 1 for n in middle]
    offsets = [torch.arange(n).div(cell, rounding_mode="floor")[:, None] + torch.arange(2 * reach + 1) - padding for n in out]
    apart = [torch.arange(n)[:, None] - (sigma + cell * o) for n, o in zip(out, offsets, strict=True)]  # (place, offset)
    d = (apart[0].double()[:, None, :, None] ** 2 + apart[1].double()[None, :, None, :] ** 2).sqrt() / sigma
    # In float32, as TorchRay's: at the start most of the mask is equal, and rounding says which pixels the area's are.
    kernel = torch.exp(-2 * (d - 0.5).clamp_min(0) ** 2).flatten(2).permute(2, 0, 1)[None].float().double().contiguous()

    def masks(parameters):
        around = functional.unfold(parameters, 2 * reach + 1, padding=padding).view(1, -1, *middle)
        around = functional.interpolate(around, scale_factor=cell, mode="nearest")[:, :, :out[0], :out[1]] * kernel
        whole = (around * (20 * around).softmax(1)).sum(1, keepdim=True).clamp(0, 1)
        return whole, whole[:, :, sigma:sigma + x.shape[2], sigma:sigma + x.shape[3]]

    widths = [20 * (1 - i / 7) for i in range(7)]
    levels = [scipy.ndimage.gaussian_filter(x.numpy(), (0, 0, width, width), mode="nearest") for width in widths]
    levels = torch.stack([*map(torch.from_numpy, levels), x])[:, 0]

    def seen(mask):
        place = 7 * mask
        low = place.detach().floor().clamp(0, 6).long()
        y = [levels.gather(0, at.expand(1, *levels.shape[1:])) for at in (low, low + 1)]
        return torch.lerp(*y, place - low)

    parameters = torch.ones(1, 1, *count, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([parameters], lr=0.01, momentum=0.9, dampening=0.9)
    weight = 300
    for step in range(steps):
        optimiser.zero_grad()
        whole, mask = masks(parameters)
        shown = seen(mask)
        score = model(shown.flip(3) if step % 2 == 0 else shown)[0, TARGET]
        ordered = whole.flatten(1).sort(1).values[0]
        wanted = torch.zeros_like(ordered)
        wanted[int(len(wanted) * (1 - area)):] = 1
        (weight * (ordered - wanted).square().mean() - score).backward()
        optimiser.step()
        parameters.data.clamp_(0, 1)
        weight *= 1.0035
    return masks(parameters)[1].detach()


if __name__ == "__main__":
    unittest.main(verbosity=2)
