"""DeepLIFT and layer-wise relevance propagation against zennit, Captum and the papers' formulas; completeness where those err.

    python test_relevance.py                              the tests
    python test_relevance.py --all --report TABLE.md      how exactly DeepLIFT sums, on all networks of test_architectures.py
    python test_relevance.py --names timm:levit_128s      only these
    python test_relevance.py --all --log FILE             keeps results in FILE and goes on where it ends

The straight implementations are forward passes with parts held fixed: see `held`. In the long form each network is traced, or
scripted or exported where it cannot be, and explained from the mean colour on; the values must sum to the change of the score.
Black is far from all that random weights were made for: there a network may give scores of 1e5, and values that cancel out.
"""

import copy
import json
import pathlib
import tempfile
import time
import unittest
import warnings

import sweeps
import torch
from captum.attr import DeepLift
from networks import CLASSES, Case, attribute, picture
from peers import MEAN, STD, relative, scenes
from test_architectures import ALL, enliven
from test_architectures import network as architecture
from torch import nn
from torch.nn import functional
from torchvision import models
from zennit import composites
from zennit import torchvision as zennit_torchvision
from zennit.layer import Sum

SIZE = (48, 64)
TARGET = 3
EPSILON = 1e-6
PEER = 1e-8  # the relative L2 distance from a peer
EXACT = 1e-10  # of the sum of DeepLIFT's values from the change of the score, as a share of that
WAYS = {  # a kind of file: the preparations that it is tried with
    "traced": ("none",),
    "scripted": ("fast",),
    "exported": ("none",),
}


def exported(model, x):
    """A program of a batch of any size."""
    return torch.export.export(model, (x.repeat(2, 1, 1, 1),), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},))


def black(x):
    return ((0 - torch.tensor(MEAN)) / torch.tensor(STD)).to(x.dtype)[None, :, None, None].expand_as(x).contiguous()


def white(x):
    return ((1 - torch.tensor(MEAN)) / torch.tensor(STD)).to(x.dtype)[None, :, None, None].expand_as(x).contiguous()


def score_change(model, x, baseline):
    with torch.no_grad():
        return float((model(x) - model(baseline))[0, TARGET])


def lively(model, size=SIZE):
    """In float64, with statistics of BatchNorm and biases that hide nothing."""
    enliven(model, torch.randn(8, 3, *size))
    for module in model.modules():
        if isinstance(getattr(module, "bias", None), nn.Parameter) and not module.bias.any():  # zeros are a degenerate point
            nn.init.uniform_(module.bias, -0.3, 0.3)
    return frozen(model)


def frozen(model):
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model.double().eval()


class RelevanceCase(Case):
    def setUp(self):
        super().setUp()
        torch.manual_seed(0)

    def files(self, model, x):
        """(kind, prepare, path) of each way."""
        for kind, preparations in WAYS.items():
            path = self.folder / f"model.{'pt2' if kind == 'exported' else 'pt'}"
            if kind == "exported":
                torch.export.save(exported(model, x), path)
            else:
                (torch.jit.script(model) if kind == "scripted" else torch.jit.trace(model, x, check_trace=False)).save(str(path))
            for prepare in preparations:
                yield kind, prepare, path

    def in_all_ways(self, title, model, x, methods, *more):
        """(title, the methods' tensors, their figures) in all ways."""
        for kind, prepare, path in self.files(model, x):
            named = f"{title}, {kind}, {prepare}"
            ours, summary = self.ours(path, list(methods), "--prepare", prepare, "--target", TARGET, *more, size=tuple(x.shape[2:]))
            for values in ours.values():
                self.assertEqual((values.dtype, values.shape), (x.dtype, x.shape), named)
            yield named, ours, summary["methods"]

    def compare(self, title, model, x, truth, *more, constant=0.0):
        """The methods of `truth` in all ways; of relevance that constants take so much of the score, if that is known."""
        for named, ours, figures in self.in_all_ways(title, model, x, truth, *more):
            errors = {method: relative(ours[method], truth[method]) for method in truth}
            print(f"{named}:", ", ".join(f"{method} {error:.1e}" for method, error in errors.items()))
            for method in truth:
                with self.subTest(f"{named}: {method}"):
                    self.assertTrue(truth[method].any())
                    self.assertLess(errors[method], PEER)
                    if not method.startswith("deep_lift"):
                        self.conserved(ours[method], figures[method], model, x, named, constant)

    def conserved(self, values, figures, model, x, title, constant):
        """Sum, biases, epsilon and constants together are the score, and completeness_error is the sum less the score."""
        with torch.no_grad():
            score = float(model(x)[0, TARGET])
        shares = figures["bias_share"] + figures["epsilon_share"] + figures["constant_share"]
        scale = max(abs(score), abs(figures["bias_share"] * score), abs(float(values.sum())))
        self.assertAlmostEqual(float(values.sum()) + shares * score, score, delta=1e-9 * scale, msg=title)
        self.assertAlmostEqual(figures["completeness_error"], float(values.sum()) - score, delta=1e-9 * scale, msg=title)
        if constant is not None:
            self.assertAlmostEqual(figures["constant_share"] * score, constant, delta=1e-9 * scale, msg=title)

    def complete(self, title, model, x, baseline="black"):
        """DeepLIFT's values sum to the change of the score in all ways. Gives the last of them."""
        change = score_change(model, x, black(x) if baseline == "black" else torch.zeros_like(x))
        self.assertGreater(abs(change), 1e-6)
        for named, ours, figures in self.in_all_ways(title, model, x, ["deep_lift"], "--baseline", baseline):
            values, figures = ours["deep_lift"], figures["deep_lift"]
            off = float(values.sum()) - change
            print(f"{named}: the sum is {abs(off / change):.1e} off")
            with self.subTest(named):
                self.assertLess(abs(off / change), EXACT)
                self.assertAlmostEqual(figures["completeness_error"], off, delta=EXACT * abs(change))
                self.assertLess(figures["relative_completeness_error"], EXACT)
        return values

    def captum_is_off(self, title, model, x, least):
        """Captum's DeepLIFT, whose sum is known to be off by at least this share."""
        change = score_change(model, x, black(x))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = DeepLift(copy.deepcopy(model)).attribute(x, black(x), target=TARGET).detach()
        off = abs(float(values.sum()) / change - 1)
        print(f"{title}: the sum of Captum's values is {off:.1e} off")
        self.assertGreater(off, least)


# ---- layer-wise relevance propagation against zennit -----------------------------------------------------------

ZENNIT = {
    "lrp_epsilon_plus": lambda x: composites.EpsilonPlus,
    "lrp_epsilon_plus_flat": lambda x: composites.EpsilonPlusFlat,
    "lrp_epsilon_alpha2_beta1": lambda x: composites.EpsilonAlpha2Beta1,
    "lrp_epsilon_alpha2_beta1_flat": lambda x: composites.EpsilonAlpha2Beta1Flat,
    "lrp_epsilon_gamma_box": lambda x: lambda canonizers: composites.EpsilonGammaBox(low=black(x), high=white(x), canonizers=canonizers),
}


def eps_folded(model):
    """A copy whose BatchNorms have their eps within the variance: zennit's merger would leave it active."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var += module.eps
            module.eps = 0.0
    return model


def zennits(model, x, methods=tuple(ZENNIT), canonizer=None):
    """By method."""
    model, result = eps_folded(model), {}
    for method in methods:
        leaf = x.clone().requires_grad_()
        with ZENNIT[method](x)(canonizers=[canonizer()] if canonizer else []).context(model) as hooked:
            output = hooked(leaf)
            start = torch.zeros_like(output)
            start[:, TARGET] = output.detach()[:, TARGET]
            (result[method],) = torch.autograd.grad(output, leaf, start)
    return result


def narrow_vgg():
    """VGG11-BN with a quarter of its channels."""
    layers = [size if isinstance(size, str) else size // 4 for size in models.vgg.cfgs["A"]]
    vgg = models.VGG(models.vgg.make_layers(layers, batch_norm=True), CLASSES)
    vgg.avgpool = nn.AdaptiveAvgPool2d(2)
    vgg.classifier[0], vgg.classifier[3], vgg.classifier[6] = nn.Linear(128 * 4, 64), nn.Linear(64, 64), nn.Linear(64, CLASSES)
    return vgg


class Block(nn.Module):
    """Two convolutions around which the input is added, by a function or by zennit's module."""

    def __init__(self, total=None):
        super().__init__()
        self.one, self.two, self.relu, self.last = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.ReLU()
        self.total = total

    def forward(self, x):
        y = self.two(self.relu(self.one(x)))
        return self.last(self.total(torch.stack([y, x], -1)) if self.total is not None else y + x)


class FunctionalBlock(Block):
    def forward(self, x):
        return self.last(self.two(self.relu(self.one(x))) + x)


def residual(block):
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), block(), block(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(8 * SIZE[0] * SIZE[1] // 16, CLASSES))


def without_biases(model):
    for module in model.modules():
        if getattr(module, "bias", None) is not None:
            module.bias.data.zero_()
    return model


class Twice(nn.Module):
    """A convolution, a ReLU and a linear layer that are used twice; with `twin` another one in each place."""

    def __init__(self, twin: bool = False):
        super().__init__()
        self.start, self.convolution, self.relu = nn.Conv2d(3, 6, 3, 4), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()
        self.pool, self.flatten = nn.AvgPool2d(4), nn.Flatten()
        self.linear, self.head = nn.Linear(6 * 3 * 4, 6 * 3 * 4), nn.Linear(6 * 3 * 4, CLASSES)
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(5 if twin else 0))
        self.convolution_again = nn.Conv2d(6, 6, 3, padding=1) if twin else self.convolution
        self.linear_again = nn.Linear(6 * 3 * 4, 6 * 3 * 4) if twin else self.linear

    def forward(self, x):
        x = self.relu(self.convolution(self.relu(self.start(x))))
        x = self.flatten(self.pool(self.relu(self.convolution_again(x))))
        return self.head(self.relu(self.linear_again(self.relu(self.linear(x)))))


class TwiceTwin(Twice):
    def __init__(self):
        super().__init__(twin=True)

    def forward(self, x):
        x = self.relus[1](self.convolution(self.relus[0](self.start(x))))
        x = self.flatten(self.pool(self.relus[2](self.convolution_again(x))))
        return self.head(self.relus[4](self.linear_again(self.relus[3](self.linear(x)))))


def twice_and_its_twin():
    model = lively(Twice())
    twin = TwiceTwin().double().eval()
    twin.load_state_dict({**model.state_dict(), **{f"{name}_again.{part}": model.state_dict()[f"{name}.{part}"]
                                                   for name in ("convolution", "linear") for part in ("weight", "bias")}})
    return model, twin


class Zennit(RelevanceCase):
    def test_vgg11_with_batch_norm(self):
        model, x = lively(narrow_vgg()), picture(size=SIZE)
        self.compare("VGG11-BN", model, x, zennits(model, x, canonizer=zennit_torchvision.VGGCanonizer))

    def test_resnet18(self):
        size = (32, 48)
        model, x = lively(models.resnet18(num_classes=CLASSES), size), picture(size=size)
        self.compare("ResNet-18", model, x, zennits(model, x, canonizer=zennit_torchvision.ResNetCanonizer))

    def test_a_module_that_is_used_twice(self):
        (model, twin), x = twice_and_its_twin(), picture(size=SIZE)
        self.compare("used twice", model, x, zennits(twin, x))

    def test_a_residual_sum_that_is_no_module(self):
        x = picture(size=SIZE)
        model, twin = lively(residual(FunctionalBlock)), residual(lambda: Block(Sum())).double().eval()
        twin.load_state_dict(model.state_dict())
        truth = zennits(twin, x)
        theirs = zennits(model, x)["lrp_epsilon_plus"]
        print(f"zennit without a module for the sum is {relative(theirs, truth['lrp_epsilon_plus']):.1e} off")
        self.assertGreater(relative(theirs, truth["lrp_epsilon_plus"]), 0.1)
        self.compare("functional sum", model, x, truth)

    def test_relevance_is_conserved_where_nothing_has_a_bias(self):
        x = picture(size=SIZE)
        model = without_biases(lively(residual(FunctionalBlock)))
        with torch.no_grad():
            score = float(model(x)[0, TARGET])
        methods = ["lrp_epsilon_plus", "lrp_epsilon_plus_flat", "lrp_epsilon_gamma_box"]
        for named, ours, figures in self.in_all_ways("no biases", model, x, methods):
            for method in methods:
                self.conserved(ours[method], figures[method], model, x, f"{named}: {method}", constant=0.0)
                self.assertEqual(figures[method]["bias_share"], 0.0)
                off = abs(float(ours[method].sum()) / score - 1.0)
                print(f"{named}, {method}: the sum is {off:.1e} off the score, epsilon's share is {figures[method]['epsilon_share']:.1e}")
                self.assertLess(off, 1e-2)


# ---- against straight implementations --------------------------------------------------------------------------

def held(value, surrogate):
    """The value, with the surrogate's derivative: then x times the gradient is the relevance."""
    return value.detach() + surrogate - surrogate.detach()


def stable(z):
    return z + torch.where(z < 0, -EPSILON, EPSILON)


def by_epsilon(z, of=None):
    """An operator that is linear in what is not held; `of` is another expression of the same value, whose derivative counts."""
    linear = z if of is None else of
    return held(z, linear * (z / stable(z)).detach())


def by_plus(operator, x, weight, bias):
    """z-plus."""
    z = operator(x, weight, bias)
    plus = operator(x.clamp(min=0), weight.clamp(min=0), bias.clamp(min=0)) + operator(x.clamp(max=0), weight.clamp(max=0), None)
    return held(z, plus * (z / stable(plus)).detach())


def by_excitation(operator, x, weight, bias):
    """P(input) = x w+ / sum of x w+ P(output), over positive inputs; nothing where that sum is zero."""
    z = operator(x, weight, bias)
    excites = operator(x.clamp(min=0), weight.clamp(min=0), None)
    return held(z, excites * torch.where(excites == 0, 0.0, z / torch.where(excites == 0, 1.0, excites)).detach())


def passed(x, y):
    """An activation: all relevance goes on."""
    return held(y, x * (y / x).detach())


def half(a, b, product):
    """A product whose factors share the relevance."""
    return by_epsilon(product(a, b).detach(), (product(a, b.detach()) + product(a.detach(), b)) / 2)


def relevance(forward, x):
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(forward(leaf)[0, TARGET], leaf)
    return (leaf * gradient).detach()


class Excited(nn.Module):
    """A small VGG; with an average at its end instead of a maximum."""

    def __init__(self, average: bool):
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
        self.pool = nn.AvgPool2d(4) if average else nn.MaxPool2d(4)
        self.hidden, self.head = nn.Linear(12 * 12, 16), nn.Linear(16, CLASSES)
        self.average = average

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.one(x)), 2)
        x = self.pool(functional.relu(self.three(functional.relu(self.two(x)))))
        return self.head(functional.relu(self.hidden(x.flatten(1))))

    def straight(self, x):
        def relu(x):
            return passed(x, x.relu())

        def convolution(module, x):
            return by_excitation(lambda x, w, b: functional.conv2d(x, w, b, module.stride, module.padding), x, module.weight, module.bias)

        x = functional.max_pool2d(relu(convolution(self.one, x)), 2)
        x = self.pool(relu(convolution(self.three, relu(convolution(self.two, x)))))
        x = by_epsilon(x).flatten(1) if self.average else x.flatten(1)
        x = relu(by_excitation(functional.linear, x, self.hidden.weight, self.hidden.bias))
        return by_excitation(functional.linear, x, self.head.weight, self.head.bias)


class Decoder(nn.Module):
    """What Captum's LRP refuses: Flatten, ELU, Upsample and a transposed convolution."""

    def __init__(self):
        super().__init__()
        self.one, self.elu, self.up = nn.Conv2d(3, 8, 3, 4, 1), nn.ELU(), nn.Upsample(scale_factor=2, mode="bilinear")
        self.transposed, self.flatten = nn.ConvTranspose2d(8, 4, 3, stride=2), nn.Flatten()
        self.head = nn.Linear(4 * 49 * 65, CLASSES)

    def forward(self, x):
        return self.head(self.flatten(self.elu(self.transposed(self.up(self.elu(self.one(x)))))))

    def straight(self, x):
        y = by_plus(lambda x, w, b: functional.conv2d(x, w, b, self.one.stride, self.one.padding), x, self.one.weight, self.one.bias)
        y = by_epsilon(self.up(passed(y, self.elu(y))))
        y = by_plus(lambda x, w, b: functional.conv_transpose2d(x, w, b, 2), y, self.transposed.weight, self.transposed.bias)
        return by_epsilon(self.head(self.flatten(passed(y, self.elu(y)))))


class Layer(nn.Module):
    """Of a transformer; its attention is written out, or one operator."""

    def __init__(self, width: int, fused: bool):
        super().__init__()
        self.heads, self.fused, self.scale = 2, fused, (width // 2) ** -0.5
        self.one, self.two = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.hidden, self.last = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def split(self, x):
        return x.reshape(x.shape[0], x.shape[1], 3, self.heads, x.shape[2] // 3 // self.heads).permute(2, 0, 3, 1, 4).unbind(0)

    def forward(self, x):
        q, k, v = self.split(self.qkv(self.one(x)))
        if self.fused:
            y = functional.scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax((q @ k.transpose(-2, -1)) * self.scale, -1) @ v
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.last(functional.gelu(self.hidden(self.two(x))))

    def norm(self, module, x):
        """With the deviation held fixed."""
        y = module(x)
        deviation = (x.var(-1, unbiased=False, keepdim=True) + module.eps).sqrt().detach()
        return by_epsilon(y.detach(), (x - x.mean(-1, keepdim=True)) / deviation * module.weight + module.bias)

    def straight(self, x, attentive):
        q, k, v = self.split(by_epsilon(self.qkv(self.norm(self.one, x))))
        if attentive:
            scale = self.scale if self.fused else 1.0  # where epsilon meets the product
            a = torch.softmax(half(q, k, lambda q, k: (q @ k.transpose(-2, -1)) * scale) * (self.scale / scale), -1)
            y = half(a, v, lambda a, v: a @ v)
        else:
            y = by_epsilon(torch.softmax((q @ k.transpose(-2, -1)) * self.scale, -1).detach() @ v)
        x = by_epsilon(x + by_epsilon(self.out(y.transpose(1, 2).flatten(2))))
        y = by_epsilon(self.hidden(self.norm(self.two, x)))
        return by_epsilon(x + by_epsilon(self.last(passed(y, functional.gelu(y)))))


class Vit(nn.Module):
    def __init__(self, fused: bool, width: int = 16):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, width, 16, 16), nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 1 + SIZE[0] * SIZE[1] // 256, width))
        self.layers, self.norm = nn.Sequential(Layer(width, fused), Layer(width, fused)), nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.head(self.norm(self.layers(x))[:, 0])

    def straight(self, x, attentive):
        x = by_epsilon(self.patches(x)).flatten(2).transpose(1, 2)
        x = by_epsilon(torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places)
        for layer in self.layers:
            x = layer.straight(x, attentive)
        return by_epsilon(self.head(self.layers[0].norm(self.norm, x)[:, 0]))


class Straight(RelevanceCase):
    def test_excitation_backprop(self):
        for average in (False, True):
            model, x = lively(Excited(average)), picture(size=SIZE)
            self.compare(f"excitation, {'average' if average else 'maximum'}", model, x,
                         {"excitation_backprop": relevance(model.straight, x)})

    def test_flatten_elu_upsampling_and_a_transposed_convolution(self):
        model, x = lively(Decoder()), picture(size=SIZE)
        self.compare("decoder", model, x, {"lrp_epsilon_plus": relevance(model.straight, x)})

    def test_transformers(self):
        for fused in (False, True):
            model, x = lively(Vit(fused)), picture(size=SIZE)
            self.assertLess(relative(model.straight(x, True), model(x)), 1e-12)
            self.compare(f"ViT, attention {'as one operator' if fused else 'written out'}", model, x,
                         {"attn_lrp": relevance(lambda x: model.straight(x, True), x),
                          "cp_lrp": relevance(lambda x: model.straight(x, False), x)}, constant=None)

    def test_a_decomposed_attention(self):
        model, x = lively(Vit(True)), picture(size=SIZE)
        path = self.folder / "decomposed.pt2"
        torch.export.save(exported(model, x).run_decompositions(), path)
        methods = ["attn_lrp", "cp_lrp", "deep_lift"]
        ours, summary = self.ours(path, methods, "--target", TARGET, size=SIZE)
        for method in methods[:2]:
            off = relative(ours[method], relevance(lambda x: model.straight(x, method == "attn_lrp"), x))
            print(f"decomposed attention: {method} {off:.1e}")
            # Its last linear layer is a product and a sum, and queries and keys are scaled before they meet: other epsilons.
            self.assertLess(off, 1e-3, method)
        self.assertLess(summary["methods"]["deep_lift"]["relative_completeness_error"], EXACT)

    def test_the_bias_of_a_group_norm_is_a_bias(self):
        model, x = lively(nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 8, 3),
                                        nn.GroupNorm(8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 10 * 14, CLASSES))), picture(size=SIZE)
        for named, ours, figures in self.in_all_ways("GroupNorm", model, x, ["lrp_epsilon_plus"]):
            with self.subTest(named):
                self.conserved(ours["lrp_epsilon_plus"], figures["lrp_epsilon_plus"], model, x, named, constant=0.0)


# ---- DeepLIFT --------------------------------------------------------------------------------------------------

class Activated(nn.Module):
    """Activations that are functions."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self.one, self.two = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8 * 12 * 16, CLASSES)

    def activation(self, x):
        if self.kind == "relu":
            return functional.relu(x)
        elif self.kind == "gelu":
            return functional.gelu(x)
        elif self.kind == "silu":
            return functional.silu(x)
        elif self.kind == "relu6":
            return functional.relu6(3 * x)
        elif self.kind == "hardswish":
            return functional.hardswish(3 * x)
        return functional.layer_norm(x, [12, 16])

    def forward(self, x):
        return self.head(self.activation(self.two(self.activation(self.one(x)))).flatten(1))


class Stem(nn.Module):
    """ResNet's."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm, self.relu = nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        self.pool, self.next, self.last = nn.MaxPool2d(3, 2, 1), nn.Conv2d(16, 8, 3), nn.ReLU()
        self.head = nn.Linear(8 * 10 * 14, CLASSES)

    def forward(self, x):
        return self.head(self.last(self.next(self.pool(self.relu(self.norm(self.convolution(x)))))).flatten(1))


class Choice(nn.Module):
    """A softmax between linear layers."""

    def __init__(self):
        super().__init__()
        self.linear, self.softmax, self.head = nn.Linear(3 * SIZE[0] * 16, 8), nn.Softmax(1), nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.head(self.softmax(self.linear(x.flatten(1))))


class Crops(nn.Module):
    """A picture's quarters as a batch, or one of them alone; the answer is that for one."""

    def __init__(self, network, which: int, alone: bool):
        super().__init__()
        self.network, self.which, self.alone = network, which, alone

    def forward(self, x):
        if self.alone:
            return self.network(x[:, :, :, 16 * self.which:16 * self.which + 16])
        rows = self.network(torch.cat(torch.split(x, 16, 3), 0))
        return rows.view(4, -1, rows.shape[1])[self.which]


class NearlyNothing(nn.Module):
    """Norms and a quotient, which are nearly 0 / 0 of a picture of zeros."""

    def __init__(self):
        super().__init__()
        self.convolution, self.gate = nn.Conv2d(3, 16, 8, 8, bias=False), nn.Conv2d(3, 16, 8, 8, bias=False)
        self.norms = nn.Sequential(*(nn.Sequential(nn.LayerNorm(16, eps=1e-6, elementwise_affine=False), nn.Linear(16, 16, bias=False))
                                     for _ in range(6)))
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):
        y, gate = self.convolution(x).flatten(2).transpose(1, 2), functional.relu(self.gate(x)).flatten(2).transpose(1, 2)
        return self.head((self.norms(y) + y * gate / (gate.sum(1, keepdim=True) + 1e-6)).mean(1))


class WithCaptum(RelevanceCase):
    """Networks on which Captum is right."""

    def captums(self, model, x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = DeepLift(model).attribute(x, black(x), target=TARGET).detach()
        change = score_change(model, x, black(x))
        self.assertAlmostEqual(float(values.sum()), change, delta=1e-9 * abs(change))
        return {"deep_lift": values}

    def test_convolutions_batch_norm_and_relus(self):
        x = picture(size=SIZE)
        model = lively(nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
                                     nn.AvgPool2d(4), nn.Flatten(), nn.Linear(12 * 5 * 7, 16), nn.ReLU(), nn.Linear(16, CLASSES)))
        self.compare("convolutions and ReLUs", model, x, self.captums(model, x))

    def test_other_activations_that_are_modules(self):
        x = picture(size=SIZE)
        model = lively(nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ELU(), nn.Conv2d(8, 8, 3, 2), nn.LeakyReLU(), nn.Flatten(),
                                     nn.Linear(8 * 35, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 32),
                                     nn.Softplus(), nn.Linear(32, CLASSES)))
        self.compare("activations", model, x, self.captums(model, x))

    def test_modules_that_are_used_twice(self):
        (model, twin), x = twice_and_its_twin(), picture(size=SIZE)
        with self.assertRaises(Exception), warnings.catch_warnings():  # or is wrong
            warnings.simplefilter("ignore")
            self.captums(model, x)
        self.compare("used twice", model, x, self.captums(twin, x))
        self.complete("used twice", model, x)

    def test_a_residual_sum_that_is_no_module(self):
        x = picture(size=SIZE)
        model = residual(FunctionalBlock)
        model[4] = nn.AvgPool2d(2)
        model = lively(model)
        self.compare("functional sum", model, x, self.captums(model, x))

    def test_deep_lift_shap_of_one_baseline_is_deep_lift(self):
        x = picture(size=SIZE)
        model = lively(Stem())
        for baseline in ("black", "zero"):
            for named, ours, figures in self.in_all_ways(f"one baseline, {baseline}", model, x, ["deep_lift", "deep_lift_shap"],
                                                         "--baseline", baseline):
                with self.subTest(named):
                    self.assertLess(relative(ours["deep_lift_shap"], ours["deep_lift"]), 1e-14)
                    self.assertLess(figures["deep_lift_shap"]["relative_completeness_error"], EXACT)


class WhereCaptumIsWrong(RelevanceCase):
    """One test for each fault that is known of Captum's DeepLIFT."""

    def functional_activation(self, kind, least):
        model, x = lively(Activated(kind)), picture(size=SIZE)
        self.captum_is_off(kind, model, x, least)
        self.complete(kind, model, x)

    def test_a_functional_relu(self):
        self.functional_activation("relu", 1e-2)

    def test_a_functional_gelu(self):
        self.functional_activation("gelu", 1e-2)

    def test_a_functional_silu(self):
        self.functional_activation("silu", 1e-2)

    def test_a_functional_relu6(self):
        self.functional_activation("relu6", 1e-2)

    def test_a_functional_hardswish(self):
        self.functional_activation("hardswish", 1e-2)

    def test_a_functional_layer_norm(self):
        self.functional_activation("layer_norm", 1e-2)

    def test_pooling_by_maxima_of_windows_that_overlap(self):
        model, x = lively(Stem()), picture(size=SIZE)
        self.captum_is_off("pooling 3, 2, 1", model, x, 1e-2)
        for baseline in ("black", "zero"):
            self.complete(f"pooling 3, 2, 1, from {baseline}", model, x, baseline)

    def test_pooling_by_maxima_behind_a_relu(self):
        x = picture(size=SIZE)
        model = lively(nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 192, CLASSES)))
        self.captum_is_off("ReLU, pooling 2", model, x, 1e-3)
        self.complete("ReLU, pooling 2", model, x)

    def test_a_softmax_in_a_batch(self):
        network, x, which = lively(Choice(), (SIZE[0], 16)), picture(size=SIZE), 2
        crops = torch.cat(x.split(16, 3))
        captum = [DeepLift(network).attribute(rows, black(rows), target=TARGET).detach()[-1] for rows in (crops, crops[3:])]
        print(f"Captum's in a batch is {relative(*captum):.1e} off its own of a single")
        self.assertGreater(relative(*captum), 1e-2)
        together, alone = (Crops(network, which, alone).double().eval() for alone in (False, True))
        first = self.complete("a batch of quarters", together, x)
        second = self.complete("a quarter", alone, x)
        self.assertLess(relative(first, second), 1e-14)
        self.assertFalse(first[..., :32].any() or first[..., 48:].any())

    def test_a_softmax_of_numbers_far_apart(self):
        x = picture(size=SIZE)
        for factor in (10, 30, 100):
            torch.manual_seed(0)
            model = Crops(lively(Choice(), (SIZE[0], 16)), 2, True).double().eval()
            model.network.linear.weight.mul_(factor)
            self.complete(f"softmax, times {factor}", model, x)

    def test_norms_and_quotients_of_nearly_nothing(self):
        model, x = frozen(NearlyNothing()), picture(size=SIZE)
        values = self.complete("nearly nothing", model, x, "zero")
        size = float(values.abs().sum()) / abs(score_change(model, x, torch.zeros_like(x)))
        print(f"the absolute values sum to {size:.1f} times the change")
        self.assertLess(size, 1e4)

    def test_what_captums_lrp_refuses(self):
        self.complete("decoder", lively(Decoder()), picture(size=SIZE))

    def test_transformers(self):
        x = picture(size=SIZE)
        for fused in (False, True):
            self.complete(f"ViT, attention {'as one operator' if fused else 'written out'}", lively(Vit(fused)), x, "zero")

    def test_resnet18(self):
        model, x = lively(models.resnet18(num_classes=CLASSES)), picture(size=SIZE)
        self.complete("ResNet-18", model, x)

    def test_a_name_for_what_has_no_rule(self):
        class Sorted(nn.Module):
            def forward(self, x):
                return torch.sort(x.flatten(2), -1).values[:, :, :4].flatten(1)

        path = self.saved(torch.jit.script(Sorted()))
        self.fails(path, ["deep_lift"], "aten::sort", "DeepLIFT", size=SIZE)
        self.fails(path, ["lrp_epsilon_plus"], "aten::sort", "relevance", size=SIZE)


# ---- the long form: how exactly DeepLIFT sums on many networks -------------------------------------------------

def measured(tool, name):
    """`worst` has, by preparation, how far the sum is off as a share of the change."""
    torch.manual_seed(0)
    model, x = architecture(name)
    size = tuple(x.shape[2:])
    if len(size) != 2:
        raise RuntimeError("it takes no pictures")
    model, x = lively(model, size), picture(size=size)
    path, kind = written(tool, model, x)
    with torch.no_grad():
        changes = (model(x) - model(torch.zeros_like(x)))[0]
        largest = float(model(x).abs().max())
    target = int(changes.abs().argmax())
    change = float(changes[target])
    result = {"name": name, "kind": kind, "size": f"{size[0]}x{size[1]}", "change": change, "score": largest, "worst": {}, "faults": [],
              "refused": "", "seconds": {}}
    for prepare in ("none", "fast"):
        with tempfile.TemporaryDirectory() as folder:
            started = time.monotonic()
            done = attribute("--model", path, "--image", scenes()[0], "--size", result["size"], "--threads", 1, "--output", folder,
                             "--method", "deep_lift", "--baseline", "zero", "--target", target, "--dtype", "float64", "--prepare", prepare)
            result["seconds"][prepare] = round(time.monotonic() - started, 1)
            if done.returncode:
                said = done.stderr.strip().splitlines()[-1]
                if "has no rule for" in said:
                    result["refused"] = said.split("has no rule for ")[1].split(", which the score")[0]
                else:
                    result["faults"].append(f"{prepare}: {said[:300]}")
                continue
            values = torch.load(pathlib.Path(folder) / "deep_lift.pt")
            figures = json.loads((pathlib.Path(folder) / "prediction.json").read_text())["methods"]["deep_lift"]
            off = abs(float(values.sum()) / change - 1)
            result["worst"][prepare] = off
            result["size of values"] = float(values.abs().sum()) / abs(change)
            if not off < 1e-6:
                result["faults"].append(f"{prepare}: the sum is {off:.1e} off")
            if abs(figures["completeness_error"] - (float(values.sum()) - change)) > 1e-9 * max(abs(change), largest):
                result["faults"].append(f"{prepare}: completeness_error is {figures['completeness_error']}")
    return result


def written(tool, model, x):
    """The first form of the network that Python can write: its path and its kind."""
    refused = []
    for kind in ("traced", "scripted", "exported"):
        path = tool.path("network.pt2" if kind == "exported" else "network.pt")
        try:
            if kind == "exported":
                torch.export.save(torch.export.export(model, (x,)), path)
                return path, kind
            script = torch.jit.script(model) if kind == "scripted" else torch.jit.trace(model, x, check_trace=False)
            with torch.no_grad():
                if relative(script(x), model(x)) > 1e-12 or relative(script(x * 0), model(x * 0)) > 1e-12:
                    raise RuntimeError("another output")
            script.save(str(path))
            return path, kind
        except Exception as error:
            refused.append(f"{kind}: {str(error).strip()[-100:]}")
    raise RuntimeError("; ".join(refused))


def tried(tool, name):
    warnings.simplefilter("ignore")
    try:
        return measured(tool, name)
    except Exception as error:  # of the network itself
        return {"name": name, "skipped": f"{type(error).__name__}: {error}"[:300]}


def told(result):
    if "skipped" in result:
        return f"{result['name']}: skipped, {result['skipped']}"
    found = f"no rule for {result['refused']}" if result["refused"] else ", ".join(f"{way} {off:.0e}" for way, off in result["worst"].items())
    head = (f"{result['name']}: {result['kind']}, {result['size']}, {found}, change {result['change']:.2g}, "
            f"sum of absolute values {result.get('size of values', 0):.2g} of that, {result['seconds']['none']} s")
    return "\n  ".join([head, *result["faults"]])


def table(results):
    lines = ["| network | file | input | change of the score | sum off by, of that | the same, prepared | sum of absolute values, of that |",
             "|---|---|---|---|---|---|---|"]
    for result in results:
        if "skipped" in result:
            continue
        cells = [result["name"].replace(":", " "), result["kind"], result["size"], f"{result['change']:.2g}"]
        if result["refused"]:
            cells += [f"no rule for `{result['refused']}`", "", ""]
        else:
            cells += [f"{result['worst'][way]:.0e}" if way in result["worst"] else "" for way in ("none", "fast")]
            cells.append(f"{result['size of values']:.2g}" if "size of values" in result else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sweeps.main(sweeps.options(), ALL, lambda tool, name, _: tried(tool, name), told, table)
