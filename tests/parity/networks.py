"""Networks for the tests of rectifiers and layers: each with an eager twin for Captum's hooks, and its files."""

import copy
import json
import os
import pathlib
import tempfile
import unittest

import torch
from peers import MEAN, STD, TOLERANCE, WAYS, attribute, relative, scenes
from PIL import Image
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision import models, transforms

SIZE = (64, 96)
CLASSES = 10

# tests/run.sh takes one network of each kind: plain, with residuals, with ReLU6.
ALL_NETWORKS = bool(os.environ.get("SALIENCE_ALL_NETWORKS"))
needs_all_networks = unittest.skipUnless(ALL_NETWORKS, "like other networks that are tried; SALIENCE_ALL_NETWORKS=1 tries it too")


class SmallVgg(nn.Module):
    """One ReLU module used twice and in place, and functional ReLUs, in place and not."""

    def __init__(self):
        super().__init__()
        relu = nn.ReLU(inplace=True)
        self.features = nn.Sequential(nn.Conv2d(3, 12, 3, 2, padding=1), relu, nn.Conv2d(12, 16, 3, padding=1), relu,
                                      nn.MaxPool2d(2), nn.Conv2d(16, 24, 3, padding=1))
        self.last = nn.Conv2d(24, 24, 3, padding=1)
        self.hidden = nn.Linear(24, 32)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x):
        x = nn.functional.relu(self.features(x), inplace=True)
        x = torch.relu(self.last(x)).mean([2, 3])
        return self.head(self.hidden(x).relu_())


class SmallVggTwin(SmallVgg):
    """The same with a ReLU module for each, none in place."""

    def __init__(self):
        super().__init__()
        self.features[1], self.features[3] = nn.ReLU(), nn.ReLU()
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(3))

    def forward(self, x):
        x = self.relus[0](self.features(x))
        x = self.relus[1](self.last(x)).mean([2, 3])
        return self.head(self.relus[2](self.hidden(x)))


class InTurn(nn.Module):
    """Stands for a ReLU that a forward pass uses several times: another module each time."""

    def __init__(self, times):
        super().__init__()
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(times))
        self.used = 0

    def forward(self, x):
        self.used += 1
        return self.relus[(self.used - 1) % len(self.relus)](x)


class HookedReLU6(nn.ReLU):
    """ReLU6 that Captum takes for a ReLU, which it puts its hooks on."""

    def forward(self, x):
        return nn.functional.relu6(x)


def replace(model, name, module):
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)


def twin_of(model):
    """A copy in float64 with ReLU modules that are used once and not in place."""
    if isinstance(model, SmallVgg):
        twin = SmallVggTwin().eval()
        twin.load_state_dict(model.state_dict())
        return twin.double()
    twin = copy.deepcopy(model).double()
    for name, module in list(twin.named_modules()):
        if isinstance(module, nn.ReLU6):
            replace(twin, name, HookedReLU6())
        elif isinstance(module, nn.ReLU):
            replace(twin, name, nn.ReLU())
    for block in list(twin.modules()):
        if isinstance(block, (models.resnet.BasicBlock, models.resnet.Bottleneck)):
            block.relu = InTurn(2 if isinstance(block, models.resnet.BasicBlock) else 3)
    return twin.eval()


def folded(model):
    """A copy with each BatchNorm folded into its convolution in float32, as torch.jit.freeze does it."""
    model = copy.deepcopy(model)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            parent, _, last = name.rpartition(".")
            before = str(int(last) - 1) if last.isdigit() else last.replace("bn", "conv")
            before = f"{parent}.{before}".lstrip(".")
            replace(model, before, fuse_conv_bn_eval(model.get_submodule(before), module))
            replace(model, name, nn.Identity())
    return model


def calibrated(model):
    """A network with the statistics of BatchNorm as after training."""
    model.train()
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(4, 3, *SIZE))
    return model.eval()


def network(name):
    """A network of random weights in evaluation mode, in float32."""
    torch.manual_seed(0)
    if name == "small":
        return SmallVgg().eval()
    if name == "vgg16":  # with a narrow head, which makes the file small
        vgg = models.VGG(models.vgg.make_layers(models.vgg.cfgs["D"]), CLASSES, init_weights=False)
        vgg.classifier[0], vgg.classifier[3] = nn.Linear(512 * 7 * 7, 64), nn.Linear(64, 64)
        vgg.classifier[6] = nn.Linear(64, CLASSES)
        for module in vgg.features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        return vgg.eval()
    return calibrated(getattr(models, name)(num_classes=CLASSES))


def scripts(model, kinds):
    """(kind, ScriptModule) for each kind, a space between its words; warmed up three times with gradients."""
    example = torch.randn(1, 3, *SIZE)
    for kind in kinds:
        module = torch.jit.script(model) if "scripted" in kind else torch.jit.trace(model, example)
        if "frozen" in kind:
            module = torch.jit.freeze(module)
        for _ in range(3):
            module(example.clone().requires_grad_()).sum().backward()
        yield kind, module


def picture(dtype=torch.float64, size=SIZE):
    steps = [transforms.Resize(size), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    return transforms.Compose(steps)(Image.open(scenes()[0]).convert("RGB"))[None].to(dtype)


def words(option, values):
    return [word for value in values for word in (option, value)]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def saved(self, module, name="model"):
        path = self.folder / f"{name}.pt"
        module.save(str(path))
        return path

    def start(self, path, methods, *more, size=SIZE):
        return attribute("--model", path, "--image", scenes()[0], "--size", f"{size[0]}x{size[1]}", "--threads", 1,
                         "--output", self.folder, *words("--method", methods), *more)

    def ours(self, path, methods, *more, dtype="float64", layers=(), warning="", size=SIZE):
        """The methods' tensors by name, and prediction.json."""
        done = self.start(path, methods, "--dtype", dtype, *words("--layer", layers), *more, size=size)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(warning, done.stderr) if warning else self.assertEqual(done.stderr, "")
        summary = json.loads((self.folder / "prediction.json").read_text())
        return {method: torch.load(self.folder / f"{method}.pt") for method in methods}, summary

    def compare_in_all_ways(self, title, path, truth, *more, bounds={}, ways=WAYS, **how):
        """The methods of `truth` against it, in all WAYS; `bounds` has, by method and type, what differs from TOLERANCE. Gives
        the last results, which are the prepared model's."""
        for prepare, dtype in ways:
            with self.subTest(title, prepare=prepare, dtype=dtype):
                ours, summary = self.ours(path, list(truth), "--prepare", prepare, *more, dtype=dtype, **how)
                errors = {method: relative(ours[method], truth[method]) for method in truth if truth[method].any()}
                print(f"{title}, {prepare}, {dtype}:", ", ".join(f"{method} {error:.1e}" for method, error in errors.items()))
                self.assertTrue(errors)
                for method in truth:
                    self.assertEqual(ours[method].dtype, getattr(torch, dtype))
                    self.assertEqual(ours[method].shape, truth[method].shape)
                    if method in errors:
                        self.assertLess(errors[method], bounds.get(method, {}).get(dtype, TOLERANCE[dtype]), method)
                    else:
                        self.assertFalse(ours[method].any(), method)
        return ours, summary

    def fails(self, path, methods, *expected, more=(), size=SIZE):
        """Exit status 1 and one line that has all that is expected."""
        done = self.start(path, methods, *more, size=size)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for part in expected:
            self.assertIn(part, done.stderr)
        return done.stderr
