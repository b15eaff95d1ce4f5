"""Guided backpropagation, deconvolution and Guided Grad-CAM on TorchScript files against Captum on eager twins."""

import unittest
import warnings

import torch
from captum.attr import Deconvolution, GuidedBackprop, GuidedGradCam, Saliency
from networks import Case, folded, needs_all_networks, network, picture, scripts, twin_of
from peers import relative
from torch import nn

METHODS = ("guided_backprop", "deconvnet", "guided_grad_cam")


def captum(twin, layer, x, target):
    """Captum's results under our names; the Grad-CAM in Guided Grad-CAM is of that layer."""
    return {
        "guided_backprop": GuidedBackprop(twin).attribute(x.clone(), target=target).detach(),
        "deconvnet": Deconvolution(twin).attribute(x.clone(), target=target).detach(),
        "guided_grad_cam": GuidedGradCam(twin, twin.get_submodule(layer)).attribute(
            x.clone(), target=target, interpolate_mode="bilinear").detach(),
    }


def speaking_target(twin, layer, x):
    """A class and Captum's results for it, none zero everywhere: of random weights, Grad-CAM is for many classes."""
    for target in range(10):
        truth = captum(twin, layer, x, target)
        if all(truth[method].any() for method in METHODS):
            return target, truth
    raise AssertionError("Guided Grad-CAM is zero for all classes")


class Captum(Case):
    def compare(self, name, layers, kinds):
        """`layers` pairs what the program is told, None for its default, with the twin's module that it must be."""
        model, x = network(name), picture()
        paths = {kind: self.saved(module, kind) for kind, module in scripts(model, kinds)}
        for frozen in (False, True):
            twin = twin_of(folded(model) if frozen else model)
            plain = torch.autograd.grad(twin(y := x.clone().requires_grad_())[0, 0], y)[0]
            for layer, module in layers:
                if frozen and layer:
                    continue  # its name is gone
                target, truth = speaking_target(twin, module, x)
                for kind, path in paths.items():
                    if ("frozen" in kind) != frozen:
                        continue
                    title = f"{name} {kind}, layer {layer or 'by default'}"
                    ours, _ = self.compare_in_all_ways(title, path, truth, "--target", target,
                                                       layers=[layer] if layer else [])
                    self.assertGreater(relative(ours["guided_backprop"], plain), 0.1)

    def test_a_small_vgg(self):
        self.compare("small", [(None, "last"), ("features.2", "features.2")],
                     ["traced", "scripted", "frozen traced", "frozen scripted"])

    @needs_all_networks
    def test_vgg16(self):
        self.compare("vgg16", [(None, "features.28")], ["traced", "scripted", "frozen scripted"])

    def test_resnet18(self):
        self.compare("resnet18", [(None, "layer4.1.conv2"), ("layer4.1.bn2", "layer4.1.bn2")],
                     ["traced", "scripted", "frozen traced"])

    @needs_all_networks
    def test_resnet50(self):
        self.compare("resnet50", [(None, "layer4.2.conv3")], ["traced", "scripted"])

    def test_mobilenet_v2(self):
        self.compare("mobilenet_v2", [(None, "features.18.0")], ["scripted", "frozen traced"])


class Facts(Case):
    def test_captum_on_torchscript_silently_gives_the_plain_gradient(self):
        model, x = network("resnet18"), picture()
        twin = twin_of(model)
        for kind, module in scripts(model, ["traced", "scripted"]):
            path = self.saved(module, kind)
            loaded = torch.jit.load(path).double()
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                theirs = GuidedBackprop(loaded).attribute(x.clone(), target=3).detach()
            plain = Saliency(loaded).attribute(x.clone(), target=3, abs=False).detach()
            truth = GuidedBackprop(twin).attribute(x.clone(), target=3).detach()
            print(f"{kind}: Captum's guided backpropagation of TorchScript is {relative(theirs, plain):.1e} off the "
                  f"plain gradient and {relative(theirs, truth):.1e} off its own of the eager model")
            self.compare_in_all_ways(kind, path, {"guided_backprop": truth}, "--target", 3)
            self.assertFalse([warning for warning in said if "script" in str(warning.message).lower()])
            self.assertLess(relative(theirs, plain), 1e-12)
            self.assertGreater(relative(theirs, truth), 0.5)

    def test_captum_refuses_torchscript_for_guided_grad_cam(self):
        (_, module), = scripts(network("resnet18"), ["scripted"])
        with self.assertRaises(Exception) as refusal:
            GuidedGradCam(module, module.layer4).attribute(picture(torch.float32), target=3)
        print("Captum's GuidedGradCam on TorchScript:", repr(refusal.exception)[:100])

    def test_a_model_without_rectifiers_is_refused_by_name(self):
        for activation, name in ((nn.GELU(), "gelu"), (nn.SiLU(), "silu"), (nn.LeakyReLU(), "leaky")):
            model = nn.Sequential(nn.Conv2d(3, 4, 3), activation, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
            for kind, module in scripts(model, ["traced", "scripted"]):
                path = self.saved(module)
                for method in METHODS if kind == "traced" else METHODS[:1]:
                    with self.subTest(activation=name, kind=kind, method=method):
                        said = self.fails(path, [method], "rectifier")
                        self.assertIn(name, said.lower())
            self.ours(path, ["vanilla", "grad_cam"])
            print(said.strip())


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
