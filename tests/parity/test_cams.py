"""Class activation maps on model files against Captum and pytorch-grad-cam on eager twins; signals and volumes; layers."""

import itertools
import pathlib
import re
import sys
import tempfile
import unittest
import unittest.mock

import numpy
import torch
from captum.attr import GuidedGradCam, LayerAttribution, LayerGradCam
from networks import (ALL_NETWORKS, CLASSES, SIZE, Case, attribute, folded, needs_all_networks, network, picture,
                      scripts, twin_of)
from peers import PREPARATIONS, TOLERANCE, ScriptTool, relative
from torch import nn
from torchvision import models

# pytorch-grad-cam imports OpenCV and scikit-learn for what is not used here.
_absent = ("cv2", "sklearn", "sklearn.decomposition")
with unittest.mock.patch.dict(sys.modules, {name: unittest.mock.MagicMock() for name in _absent}):
    from pytorch_grad_cam import (ActivationsAndGradients, EigenCAM, EigenGradCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM,
                                  XGradCAM)

PEERS = {"grad_cam": GradCAM, "grad_cam_pp": GradCAMPlusPlus, "hires_cam": HiResCAM, "xgrad_cam": XGradCAM,
         "layer_cam": LayerCAM, "eigen_cam": EigenCAM, "eigen_grad_cam": EigenGradCAM}
BOUNDS = {
    "eigen_cam": {"float64": 1e-6},  # pytorch-grad-cam converts these ones' results to float32
    "eigen_grad_cam": {"float64": 1e-6},
    # It divides by the sum of a channel's activations, which comes near 0 where they have both signs, so after a convolution or
    # BatchNorm; there rounding grows a millionfold. Measured: 3e-10 in float64, 1e-1 in float32 (unprepared 5e-2).
    "xgrad_cam": {"float64": 1e-8, "float32": 0.3},
}


def upsampled(cam, size=SIZE):
    return nn.functional.interpolate(cam, size, mode="bilinear", align_corners=False)


def recorded(twin, layer, x, target, reshape=None, copied=True):
    """A layer's activations and gradients by pytorch-grad-cam's hooks; the network goes on with a copy, or does not."""
    module = twin.get_submodule(layer)
    recorder = ActivationsAndGradients(twin, [module], reshape)
    copying = module.register_forward_hook(lambda _module, _input, output: output.clone() if copied else None)
    x = x.clone().requires_grad_()
    torch.autograd.grad(recorder(x)[0, target], x)
    result = recorder.activations[0].numpy().copy(), recorder.gradients[0].numpy().copy()
    copying.remove()
    recorder.release()
    return result


def raw_map(twin, method, activations, gradients):
    """pytorch-grad-cam's map (1,1,h,w) before anything is cut off or scaled."""
    with PEERS[method](twin, []) as peer:
        cam = peer.get_cam_image(None, None, None, activations, gradients, eigen_smooth=False)
    return torch.tensor(cam)[None].double()


def peer_maps(twin, layer, x, target):
    """All methods' signed maps by pytorch-grad-cam, and Grad-CAM++ with its epsilon once more as "with epsilon"."""
    activations, gradients = recorded(twin, layer, x, target)
    maps = {method: raw_map(twin, method, activations, gradients) for method in PEERS}
    maps["with epsilon"] = maps["grad_cam_pp"]
    # Its epsilon of 1e-6 is fixed; A/c and c*G leave all of the formula but that, which becomes 1e-6/c^2.
    c = 2.0**30
    maps["grad_cam_pp"] = raw_map(twin, "grad_cam_pp", activations / c, gradients * c)
    for method in ("eigen_cam", "eigen_grad_cam"):
        if maps[method].max() < -maps[method].min():  # its sign is the one that LAPACK happens to give
            maps[method] = -maps[method]
    return maps


def captum_map(twin, layer, x, target):
    cam = LayerGradCam(twin, twin.get_submodule(layer)).attribute(x, target=target, relu_attributions=True)
    return LayerAttribution.interpolate(cam.detach(), SIZE, "bilinear")


def speaking_target(twin, layer, x):
    """A class of which Grad-CAM is not empty: for many classes of random weights it is."""
    return next(target for target in range(CLASSES) if captum_map(twin, layer, x, target).any())


class Peers(Case):
    def compare(self, name, layers, kinds):
        """`layers` pairs what the program is told, None for its default, with the twin's module that it must be."""
        model, x = network(name), picture()
        paths = {kind: self.saved(module, kind) for kind, module in scripts(model, kinds)}
        for frozen in (False, True):
            twin = twin_of(folded(model) if frozen else model)
            for layer, module in layers:
                has_name = not frozen or layer is None or "convolution" in layer
                mine = [kind for kind in paths if ("frozen" in kind) == frozen and has_name]
                if not mine:
                    continue
                target = speaking_target(twin, module, x)
                maps = peer_maps(twin, module, x, target)
                truth = {method: upsampled(maps[method].clamp_min(0)) for method in PEERS}
                self.assertLess(relative(truth["grad_cam"], captum_map(twin, module, x, target)), TOLERANCE["float64"])
                for kind in mine:
                    title = f"{name} {kind}, layer {layer or module + ', the default'}"
                    _, summary = self.compare_in_all_ways(title, paths[kind], truth, "--target", target,
                                                          layers=[layer] if layer else [], bounds=BOUNDS)
                    for method in PEERS:
                        self.assertIs(summary["methods"][method]["nothing_positive"], not truth[method].any(), method)

    def test_a_small_vgg(self):
        self.compare("small", [(None, "last"), ("features.2", "features.2"), ("features.4", "features.4"),
                               ("convolution.1", "features.2")], ["traced", "scripted", "frozen scripted"])

    @needs_all_networks
    def test_vgg16(self):
        self.compare("vgg16", [(None, "features.28"), ("features.22", "features.22")],
                     ["traced", "scripted", "frozen traced"])

    def test_resnet18(self):
        self.compare("resnet18", [(None, "layer4.1.conv2"), ("layer4.1.bn2", "layer4.1.bn2"),
                                  ("layer4.0.relu", "layer4.0.relu.relus.1"), ("convolution.0", "conv1")],
                     ["traced", "scripted", "frozen traced"])

    @needs_all_networks
    def test_resnet50(self):
        self.compare("resnet50", [(None, "layer4.2.conv3"), ("layer3", "layer3")], ["traced"])

    def test_mobilenet_v2(self):
        layers = [None, "features.18", "features.18.1", "features.13"]
        self.compare("mobilenet_v2", [(layer, layer or "features.18.0") for layer in layers],
                     ["traced", "scripted"] if ALL_NETWORKS else ["scripted"])

    def test_swins_layer_after_its_permutation(self):
        torch.manual_seed(0)
        model, size = models.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=CLASSES).eval(), (64, 64)
        path = self.saved(torch.jit.trace(model, torch.randn(1, 3, *size), check_trace=False))
        twin, x = twin_of(model), picture(size=size)
        activations, gradients = recorded(twin, "norm", x, 3, lambda grid: grid.permute(0, 3, 1, 2))
        truth = upsampled(raw_map(model, "grad_cam", activations, gradients).clamp_min(0), size)
        self.compare_in_all_ways("Swin, norm (N,h,w,C)", path, {"grad_cam": truth}, "--target", 3, layers=["norm"], size=size)

    def test_several_layers_give_the_mean_of_maps_divided_by_their_maxima(self):
        model, x = network("resnet18"), picture()
        twin, layers = twin_of(model), ["layer2.1.conv1", "layer4", "layer3"]
        (_, module), = scripts(model, ["traced"])
        target = speaking_target(twin, "layer4", x)
        maps, truth = {layer: peer_maps(twin, layer, x, target) for layer in layers}, {}
        for method in PEERS:
            parts = [maps[layer][method].clamp_min(0) for layer in layers]
            self.assertTrue(all(part.any() for part in parts))
            truth[method] = sum(upsampled(part / part.max()) for part in parts) / len(parts)
        self.compare_in_all_ways(", ".join(layers), self.saved(module), truth, "--target", target, layers=layers, bounds=BOUNDS)


class Facts(Case):
    def test_captum_refuses_torchscript(self):
        for kind, module in scripts(network("resnet18"), ["traced", "scripted"]):
            with self.assertRaises(Exception) as refusal:
                LayerGradCam(module, module.layer4).attribute(picture(torch.float32), target=3)
            print(f"Captum's LayerGradCam on a {kind} module:", repr(refusal.exception)[:100])

    def test_captum_grad_cam_and_pytorch_grad_cam_agree(self):
        twin, x = twin_of(network("resnet18")), picture()
        target = speaking_target(twin, "layer4", x)
        theirs = upsampled(peer_maps(twin, "layer4", x, target)["grad_cam"].clamp_min(0))
        self.assertLess(relative(theirs, captum_map(twin, "layer4", x, target)), 1e-12)

    def test_pytorch_grad_cams_epsilon_is_not_small(self):
        twin, x = twin_of(network("resnet18")), picture()
        target = speaking_target(twin, "layer1", x)
        maps = peer_maps(twin, "layer1", x, target)
        off = relative(maps["with epsilon"].clamp_min(0), maps["grad_cam_pp"].clamp_min(0))
        print(f"pytorch-grad-cam's epsilon changes Grad-CAM++ at ResNet-18's layer1 by {off:.1%}")
        self.assertGreater(off, 0.01)

    def test_writing_in_place_after_a_layer_changes_pytorch_grad_cams_map_but_not_ours(self):
        model, x, layer = network("resnet18"), picture(), "layer4.1.bn2"
        twin = twin_of(model)
        target = speaking_target(twin, layer, x)
        truth = captum_map(twin, layer, x, target)
        activations, gradients = recorded(twin, layer, x, target, copied=False)
        theirs = upsampled(raw_map(twin, "grad_cam", activations, gradients).clamp_min(0))
        (_, module), = scripts(model, ["traced"])
        title = f"{layer}, which `out += identity` overwrites"
        print(f"{title}: pytorch-grad-cam is {relative(theirs, truth):.1e} off Captum's")
        self.assertGreater(relative(theirs, truth), 0.1)
        self.compare_in_all_ways(title, self.saved(module), {"grad_cam": truth}, "--target", target, layers=[layer])

    def test_an_unknown_layer_is_one_line_with_the_nearest_names(self):
        for kind, module in scripts(network("resnet18"), ["traced", "scripted"]):
            path = self.saved(module)
            said = self.fails(path, ["grad_cam"], "'layer4.1.bn3'", "'layer4.1.bn2'", more=("--layer", "layer4.1.bn3"))
            self.fails(path, ["guided_grad_cam"], "'layer5'", "'layer1'", more=("--layer", "layer5"))
            print(f"{kind}: {said.strip()}")

    def test_a_frozen_file_has_numbered_convolutions(self):
        (_, module), = scripts(network("resnet18"), ["frozen scripted"])
        path = self.saved(module)
        listed = self.listed(path)
        self.assertEqual([name for name, _, _ in listed], [f"convolution.{i}" for i in range(20)])
        self.assertEqual({kind for _, kind, _ in listed}, {"Convolution"})
        shapes = []
        twin = twin_of(network("resnet18"))
        for submodule in twin.modules():
            if isinstance(submodule, nn.Conv2d):
                submodule.register_forward_hook(lambda _module, _input, output: shapes.append(list(output.shape)))
        twin(picture())
        self.assertEqual([shape for _, _, shape in listed], shapes)
        said = self.fails(path, ["grad_cam"], "'layer4.1.bn2'", "frozen", "'convolution.0'", "'convolution.19'",
                          more=("--layer", "layer4.1.bn2"))
        print(said.strip())

    def listed(self, path, size=SIZE):
        """(name, type, shape or None) of each line of --list-layers."""
        done = attribute("--model", path, "--list-layers", "--size", f"{size[0]}x{size[1]}")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = []
        for line in done.stdout.splitlines():
            name, kind, shape = re.fullmatch(r"(\S+) +(\w+)(?: \[([\d, ]*)\])?", line).groups()
            lines.append((name, kind, [int(size) for size in shape.split(",")] if shape is not None else None))
        return lines

    def test_the_list_has_pythons_names_types_and_shapes(self):
        vit = models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=CLASSES).eval()
        for title, model, kinds, size in (("small", network("small"), ["traced", "scripted"], SIZE),
                                          ("resnet18", network("resnet18"), ["traced", "scripted"], SIZE),
                                          ("mobilenet_v2", network("mobilenet_v2"), ["traced", "scripted"], SIZE),
                                          ("vit", vit, ["traced", "scripted"], (64, 64))):
            seen, handles = {}, []
            for name, module in model.named_modules():
                def hook(_module, _input, output, name=name):
                    seen[name] = list(output.shape) if isinstance(output, torch.Tensor) else None

                handles.append(module.register_forward_hook(hook))
            model(picture(torch.float32, size))
            for handle in handles:
                handle.remove()
            del seen[""]
            example = torch.randn(1, 3, *size)
            for kind in kinds:
                with self.subTest(model=title, kind=kind):
                    scripted = kind == "scripted"
                    module = torch.jit.script(model) if scripted else torch.jit.trace(model, example, check_trace=False)
                    listed = self.listed(self.saved(module), size)
                    shapes = {name: shape for name, _, shape in listed}
                    self.assertEqual(len(shapes), len(listed), "a name stands twice")
                    expected = dict(seen)
                    if (title, kind) == ("small", "scripted"):  # a script keeps both names of one module
                        half = [size // 2 for size in SIZE]
                        expected |= {"features.1": [1, 12, *half], "features.3": [1, 16, *half]}
                    if (title, kind) == ("vit", "traced"):  # of attention's (tensor, None) a trace leaves the tensor
                        expected = {name: shape or [1, 17, 32] for name, shape in expected.items()}
                    self.assertEqual(shapes, expected)
                    self.assertEqual({name: kind for name, kind, _ in listed},
                                     {name: type(model.get_submodule(name)).__name__ for name in expected})
                    print(f"{title} {kind}: {len(listed)} layers")

    def test_an_all_negative_map_is_zeros_and_flagged(self):
        torch.manual_seed(0)
        pool = nn.AdaptiveAvgPool2d(1)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 2)).eval()
        with torch.no_grad():
            model[4].weight.copy_(torch.tensor([[1.0], [-1.0]]).expand(2, 4))
        path = self.saved(next(module for _, module in scripts(model, ["traced"])))
        for target, empty in ((0, False), (1, True)):
            ours, summary = self.ours(path, ["grad_cam", "guided_grad_cam"], "--target", target, layers=["1"])
            self.assertIs(summary["methods"]["grad_cam"]["nothing_positive"], empty)
            self.assertIs(summary["methods"]["guided_grad_cam"]["nothing_positive"], empty)
            for tensor in ours.values():
                self.assertTrue(tensor.isfinite().all())
                self.assertIs(bool(tensor.any()), not empty)


class Strided(nn.Module):
    """As networks of spectrograms: their convolutions move faster in time, so that 16 channels of 32x16 places look like
    32x32 places of 16 channels."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 5, (2, 4), padding=2)
        self.second = nn.Conv2d(8, 32, 3, padding=1)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x):
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))).mean([2, 3]))


class Line(nn.Module):
    """Convolutions along one dimension, as networks of text and signals have them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(3, 12, 5, padding=2)
        self.second = nn.Conv1d(12, 16, 3, 2, padding=1)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.head(torch.relu(self.second(torch.relu(self.first(x.flatten(2))))).mean([2]))


class Mixer(nn.Module):
    """A MetaFormer's block: norm and multilayer perceptron with the channels last, between them a pooling with them first."""

    def __init__(self, channels):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.mlp = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))

    def forward(self, x):
        y = self.norm1(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = x + self.pool(y) - y
        return x + self.mlp(self.norm2(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class MetaFormer(nn.Module):
    """16 channels of 16x16 places: their shape does not say which are the channels."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 7, 4, padding=3)
        self.blocks = nn.Sequential(Mixer(16), Mixer(16))
        self.down = nn.Conv2d(16, 32, 3, 2, padding=1)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, x):
        return self.head(torch.relu(self.down(self.blocks(self.stem(x)))).mean([2, 3]))


def first(grid):
    return grid


def last(grid):
    return grid.permute(0, 3, 1, 2)


class Layouts(Case):
    """Where the channels are is known, whatever the shape looks like. It does not depend on the type."""

    WAYS = [(prepare, "float64") for prepare in PREPARATIONS]

    def compare(self, title, model, layers, size=(64, 64), warning=""):
        """`layers` has what the program is told, None for its default, the twin's module and how its output becomes a grid."""
        twin, x = twin_of(model), picture(size=size)
        files = {"traced": torch.jit.trace(model, x.float(), check_trace=False), "scripted": torch.jit.script(model)}
        paths = {kind: self.saved(module, kind) for kind, module in files.items()}
        for layer, module, reshape in layers:
            for target in range(CLASSES):
                activations, gradients = recorded(twin, module, x, target, reshape)
                truth = upsampled(raw_map(twin, "grad_cam", activations, gradients).clamp_min(0), size)
                if truth.any():
                    break
            if reshape is first:
                captum = LayerGradCam(twin, twin.get_submodule(module)).attribute(x, target=target, relu_attributions=True)
                self.assertLess(relative(upsampled(captum.detach(), size), truth), TOLERANCE["float64"])
            for kind, path in paths.items():
                self.compare_in_all_ways(f"{title} {kind}, layer {layer or module + ', the default'}", path, {"grad_cam": truth},
                                         "--target", target, layers=[layer] if layer else [], size=size, ways=self.WAYS,
                                         warning="" if layer else warning)

    def seeded(self, make):
        torch.manual_seed(0)
        return make().eval()

    def test_strides_that_differ(self):
        model = self.seeded(Strided)
        self.assertEqual(model.second(model.first(picture(torch.float32, (64, 64)))).shape, (1, 32, 32, 16))
        self.compare("strided", model, [(None, "second", first), ("first", "first", first)])

    def test_metaformer(self):
        self.compare("MetaFormer", self.seeded(MetaFormer), [
            (None, "down", first), ("stem", "stem", first), ("blocks.0", "blocks.0", first), ("blocks.1.pool", "blocks.1.pool", first),
            ("blocks.1.mlp.1", "blocks.1.mlp.1", last), ("blocks.1.norm2", "blocks.1.norm2", last)])

    def test_convnext_permutes_inside_its_blocks(self):
        blocks = [models.convnext.CNBlockConfig(16, 32, 2), models.convnext.CNBlockConfig(32, None, 1)]
        model = self.seeded(lambda: models.ConvNeXt(blocks, layer_scale=0.5, num_classes=CLASSES))
        self.compare("ConvNeXt", model, [(None, "features.3.0.block.0", first), ("features.1.1", "features.1.1", first),
                                         ("features.1.0.block.2", "features.1.0.block.2", last),
                                         ("features.1.1.block.5", "features.1.1.block.5", last)])

    def test_swins_stages_have_their_channels_last(self):
        # The first stage is (1, 16, 16, 16).
        model = self.seeded(lambda: models.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=CLASSES))
        self.compare("Swin", model, [("features.1", "features.1", last), ("features.3", "features.3", last),
                                     ("permute", "permute", first), (None, "features.0.0", first)],
                     warning="such as 'features.3.0'")

    def test_vision_transformer(self):
        model = self.seeded(lambda: models.VisionTransformer(64, 16, 3, 2, 32, 64, num_classes=CLASSES))
        nn.init.normal_(model.heads.head.weight)  # torchvision begins with zeros

        def grid(tokens):
            return tokens[:, 1:].reshape(1, 4, 4, -1).permute(0, 3, 1, 2)

        self.compare("ViT", model, [("encoder.layers.encoder_layer_1", "encoder.layers.encoder_layer_1", grid),
                                    (None, "conv_proj", first)], warning="such as 'encoder.layers.encoder_layer_1'")

    def test_a_line_is_a_map_of_one_row(self):
        model, size = self.seeded(Line), (1, 96)
        self.compare("Conv1d", model, [(None, "second", lambda line: line[:, :, None]),
                                       ("first", "first", lambda line: line[:, :, None])], size=size)

    def test_a_line_of_a_picture_is_an_error_that_says_what_to_do(self):
        model = self.seeded(Line)
        for kind, module in (("traced", torch.jit.trace(model, torch.randn(1, 3, 12, 8))), ("scripted", torch.jit.script(model))):
            said = self.fails(self.saved(module), ["grad_cam"], "(1, 16, 48)", "option reshape", "ChannelsFirst", size=(12, 8))
            print(f"{kind}: {said.strip()}")


class Signals(nn.Module):
    """Convolutions along a signal (N, C, L), with lengths that do not divide one another."""

    def __init__(self):
        super().__init__()
        self.first, self.one = nn.Conv1d(2, 8, 5, 2), nn.ReLU()
        self.second, self.two = nn.Conv1d(8, 12, 3, 3, padding=1), nn.ReLU()
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x):
        return self.head(self.two(self.second(self.one(self.first(x)))).mean([2]))


class Volumes(nn.Module):
    """Convolutions of a volume (N, C, D, H, W), which move differently along its depth."""

    def __init__(self):
        super().__init__()
        self.first, self.one = nn.Conv3d(2, 6, 3, (1, 2, 2)), nn.ReLU()
        self.second, self.two = nn.Conv3d(6, 8, 3, (2, 2, 1), padding=1), nn.ReLU()
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.head(self.two(self.second(self.one(self.first(x)))).mean([2, 3, 4]))


class SignalsAndVolumes(unittest.TestCase):
    """LayerGradCam with LayerAttribution.interpolate, and GuidedGradCam, linear and trilinear; float64."""

    def compare(self, make, mode, size):
        torch.manual_seed(0)
        model, x, target = make().eval().double(), torch.randn(3, 2, *size, dtype=torch.float64), 4
        with tempfile.TemporaryDirectory() as folder, ScriptTool() as tool:
            program = pathlib.Path(folder) / "model.pt2"
            torch.export.save(torch.export.export(model, (x,)), program)
            files = {"traced": torch.jit.trace(model, x), "scripted": torch.jit.script(model), "exported": program}
            layers = ["first", "one", "second", "two"]
            for (kind, file), prepare in itertools.product(files.items(), PREPARATIONS):
                worst = {}
                for rows in (x, x[1:2]):
                    ours = tool("cams", file, rows, f"class={target}", f"prepare={prepare}", *(f"layer={name}" for name in layers))
                    for name in layers:
                        truth = self.peers(model, model.get_submodule(name), rows, target, mode)
                        for method, expected in truth.items():
                            self.assertEqual(ours[f"{name}/{method}"].shape, expected.shape)
                            self.assertTrue(expected.any())
                            worst[method] = max(worst.get(method, 0.0), relative(ours[f"{name}/{method}"], expected))
                print(f"{make.__name__} {kind}, {prepare}:", ", ".join(f"{method} {off:.0e}" for method, off in worst.items()))
                self.assertLess(max(worst.values()), 1e-8)

    @staticmethod
    def peers(model, module, x, target, mode):
        """Captum's maps by the names that script_tool gives, and two that it has not, by their formulas."""
        seen = {}
        handle = module.register_forward_hook(lambda _module, _input, output: seen.update(layer=output))
        score = model(x)[:, target].sum()
        gradient, = torch.autograd.grad(score, seen["layer"])
        handle.remove()
        layer = seen["layer"].detach()
        own = {"grad_cam": LayerGradCam(model, module).attribute(x, target=target).detach(),
               "hires_cam": (gradient * layer).sum(1, keepdim=True),
               "layer_cam": (gradient.clamp_min(0) * layer).sum(1, keepdim=True)}
        size = tuple(x.shape[2:])
        large = {f"{method}/upsampled": LayerAttribution.interpolate(cam, size, mode) for method, cam in own.items()}
        guided = GuidedGradCam(model, module).attribute(x.clone().requires_grad_(), target=target, interpolate_mode=mode)
        return {**own, **large, "guided_grad_cam": guided.detach()}

    def test_signals(self):
        self.compare(Signals, "linear", (101,))

    def test_volumes(self):
        self.compare(Volumes, "trilinear", (9, 20, 14))


class VisionTransformer(Case):
    SIZE = (64, 64)

    def setUp(self):
        super().setUp()
        torch.manual_seed(0)
        self.model = models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=CLASSES).eval()
        nn.init.normal_(self.model.heads.head.weight)  # torchvision begins with zeros
        self.path = self.saved(torch.jit.trace(self.model, torch.randn(1, 3, *self.SIZE), check_trace=False))

    def test_tokens_become_a_grid_without_the_class_token(self):
        def grid(tokens):
            return tokens[:, 1:].reshape(1, 4, 4, -1).permute(0, 3, 1, 2)

        twin, x = twin_of(self.model), picture(size=self.SIZE)
        for layer in ("encoder.layers.encoder_layer_0", "encoder.layers.encoder_layer_1.ln_1"):
            for target in range(CLASSES):
                activations, gradients = recorded(twin, layer, x, target, grid)
                truth = upsampled(raw_map(twin, "grad_cam", activations, gradients).clamp_min(0), self.SIZE)
                if truth.any():
                    break
            weights = torch.tensor(gradients).mean((2, 3))
            by_hand = torch.einsum("nchw,nc->nhw", torch.tensor(activations), weights)[None]
            self.assertLess(relative(upsampled(by_hand.clamp_min(0), self.SIZE), truth), TOLERANCE["float64"])
            _, summary = self.compare_in_all_ways(f"ViT, {layer}", self.path, {"grad_cam": truth}, "--target", target,
                                                  layers=[layer], size=self.SIZE)
            self.assertIs(summary["methods"]["grad_cam"]["nothing_positive"], False)

    def test_the_last_blocks_tokens_have_no_gradient_and_that_is_said(self):
        ours, summary = self.ours(self.path, ["grad_cam"], layers=["encoder.layers.encoder_layer_1"], size=self.SIZE,
                                  warning="'encoder.layers.encoder_layer_1' is zero everywhere")
        self.assertFalse(ours["grad_cam"].any())
        self.assertIs(summary["methods"]["grad_cam"]["nothing_positive"], True)


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
