"""TorchScript of many kinds: the program's gradient, unprepared and prepared, against Python's autograd."""

import pathlib
import tempfile
import unittest

import torch
from PIL import Image
from peers import MEAN, STD, TOLERANCE, WAYS, attribute, relative, scenes
from torch import nn
from torchvision import models, transforms

SIZE = (64, 64)


class LeNet(nn.Module):
    """Flattens with view, as many do."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 5, stride=4)
        self.head = nn.Linear(6 * 15 * 15, 5)

    def forward(self, x):
        x = torch.relu(self.convolution(x))
        return self.head(x.view(x.size(0), -1))


class WrittenView(nn.Module):
    """Writes through a view: the view must stay one."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 6, 5, stride=4)

    def forward(self, x):
        x = self.convolution(x)
        x.view(x.size(0), -1).mul_(2.0).relu_()
        return x.mean([2, 3])


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        with torch.no_grad():
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)
            self.norm.weight.normal_()
            self.norm.bias.normal_()

    def forward(self, x):
        return torch.nn.functional.relu(self.norm(self.convolution(x)), inplace=True).mean([2, 3])


class BatchStatistics(nn.Module):
    """A BatchNorm that uses the batch's own statistics also in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        x = nn.functional.batch_norm(self.convolution(x), None, None, training=True)
        return x.pow(3).mean([2, 3])


class Counting(nn.Module):
    """Writes into a buffer in evaluation mode, and reads it after."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3)
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x):
        self.count.add_(1)
        return self.convolution(x).pow(2).mean([2, 3]) * (self.count * 2)


class Loop(nn.Module):
    """Layers of a list, a branch and a loop."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Block(), Block()])
        self.scale = nn.Parameter(torch.rand(8))

    def forward(self, x):
        y = self.layers[0](x)
        for layer in self.layers:
            y = y + layer(x)
        if y.sum() < 1e9:
            y = y * self.scale
        return y


class Twice(nn.Module):
    """One convolution before two BatchNorms, and its output used by itself."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3)
        self.first, self.second = Block().norm, Block().norm

    def forward(self, x):
        y = self.convolution(x)
        return (torch.relu(self.first(y)) + torch.relu(self.second(y)) + y).mean([2, 3])


def calibrated(model):
    """A torchvision network with the statistics of BatchNorm as after training."""
    model.train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, 3, *SIZE))
    return model.eval()


def files():
    """(name, ScriptModule): scripted, traced and frozen."""
    torch.manual_seed(0)
    example = torch.randn(1, 3, *SIZE)
    for make in (LeNet, WrittenView, Block, BatchStatistics, Counting, Loop, Twice):
        model = make().eval()
        yield f"{make.__name__} scripted", torch.jit.script(model)
        if make not in (Loop, Counting):  # tracing fixes the branch; a trace of Counting counts while it is made
            yield f"{make.__name__} traced", torch.jit.trace(model, example)
        if make not in (Counting,):
            yield f"{make.__name__} frozen", torch.jit.freeze(torch.jit.script(model))
    yield "traced in training mode", torch.jit.trace(Block().train(), example, check_trace=False)
    resnet = calibrated(models.resnet18(num_classes=10))
    yield "ResNet-18 scripted", torch.jit.script(resnet)
    yield "ResNet-18 traced", torch.jit.trace(resnet, example)
    yield "MobileNetV2 scripted", torch.jit.script(calibrated(models.mobilenet_v2(num_classes=10)))
    vit = models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=10).eval()
    nn.init.normal_(vit.heads.head.weight)  # torchvision begins with zeros, and so with a gradient of zero
    yield "ViT traced", torch.jit.trace(vit, example, check_trace=False)


def autograd(path, x):
    model = torch.jit.load(path).eval().double()
    # freezing made constants of the weights, which .double() does not reach
    for constant in model.graph.findAllNodes("prim::Constant"):
        if constant.hasAttribute("value") and constant.kindOf("value") == "t" and constant.t("value").is_floating_point():
            if constant.t("value").dim() > 0:
                constant.t_("value", constant.t("value").double())
    x = x.clone().requires_grad_()
    logits = model(x)
    return int(logits.argmax()), torch.autograd.grad(logits.max(), x)[0]


class ScriptModels(unittest.TestCase):
    def test_every_kind_prepared_or_not(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        steps = [transforms.Resize(SIZE), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        x = transforms.Compose(steps)(Image.open(scenes()[0]).convert("RGB"))[None].double()
        for name, module in files():
            path = folder / f"{name}.pt"
            module.save(str(path))
            target, truth = autograd(path, x)
            for prepare, dtype in WAYS:
                with self.subTest(model=name, prepare=prepare, dtype=dtype):
                    done = attribute("--model", path, "--image", scenes()[0], "--size", "64x64", "--dtype", dtype, "--target",
                                     target, "--prepare", prepare, "--output", folder)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    ours = torch.load(folder / "vanilla.pt")
                    print(f"{name}, {prepare}, {dtype}: {relative(ours, truth):.1e}")
                    self.assertLess(relative(ours, truth), TOLERANCE[dtype])


if __name__ == "__main__":
    unittest.main(verbosity=2)
