"""Score-CAM and Ablation-CAM on model files against pytorch-grad-cam on the eager model, in float64.

Its masks are upsampled with align_corners=True and its scores rounded to float32; both are replaced here, so that the formulas are
compared. What that changes is printed.
"""

import contextlib
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest
import unittest.mock

import numpy
import torch
from peers import PREPARATIONS, program, relative
from torch import nn

# pytorch-grad-cam imports OpenCV and scikit-learn for what is not used here.
_absent = ("cv2", "sklearn", "sklearn.decomposition")
with unittest.mock.patch.dict(sys.modules, {name: unittest.mock.MagicMock() for name in _absent}):
    from pytorch_grad_cam import AblationCAM, ScoreCAM, ablation_cam, score_cam

PEERS = {"score_cam": ScoreCAM, "ablation_cam": AblationCAM}
# Relative L2. Measured: Score-CAM 4e-10, since pytorch-grad-cam adds 1e-8 to the range of a mask, Ablation-CAM 5e-14.
BOUND = {"score_cam": 1e-8, "ablation_cam": 1e-11}
SIZE = (32, 40)
TARGET = 2


class Residual(nn.Module):
    """Convolutions around which the input of the block goes, with BatchNorm and ReLUs in place."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.relu, self.last = nn.BatchNorm2d(8), nn.ReLU(), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.second(self.relu(self.norm(self.first(x))))
        y += x
        return self.last(y)


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), Residual(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3),
                          nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 5)).double().eval()
    with torch.no_grad():
        model[-1].bias.fill_(1.0)  # scores above zero: below, ours has the other sign, on purpose
        for buffer in (model[2].norm.running_mean, model[2].norm.running_var):
            buffer.add_(torch.rand_like(buffer))
    return model


class InFloat64(types.SimpleNamespace):
    """numpy without its float32."""

    def __getattr__(self, name):
        return numpy.float64 if name == "float32" else getattr(numpy, name)


def upsample(size):
    return nn.Upsample(size=size, mode="bilinear", align_corners=False)


def peer_map(model, layer, method, x, as_it_is=False):
    """pytorch-grad-cam's signed map on the layer's grid."""
    module, kept = model.get_submodule(layer), []
    handle = module.register_forward_hook(lambda _module, _input, output: kept.append(output.detach().clone()))
    model(x)
    handle.remove()
    silent = unittest.mock.MagicMock(tqdm=lambda steps: steps)
    targets = [lambda output: output[TARGET]] * len(x)
    patches = [unittest.mock.patch.object(module, "tqdm", silent) for module in (ablation_cam, score_cam)]
    if not as_it_is:
        patches += [unittest.mock.patch.object(torch.nn, "UpsamplingBilinear2d", upsample),
                    unittest.mock.patch.object(ablation_cam, "np", InFloat64())]
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float32 if as_it_is else torch.float64)  # it has its scores in this one
        weights = stack.enter_context(PEERS[method](model, [module])).get_cam_weights(x, module, targets, kept[0].numpy(), None)
    weights = torch.as_tensor(numpy.asarray(weights), dtype=torch.float64)
    return (weights[:, :, None, None] * kept[0]).sum(1, keepdim=True)


class ChannelCams(unittest.TestCase):
    def files(self, model, x, folder):
        batch = ({0: torch.export.Dim("batch")},)
        paths = {kind: str(folder / f"{kind}.pt{2 if kind == 'exported' else ''}") for kind in ("traced", "scripted", "exported")}
        torch.jit.trace(model, x, check_trace=False).save(paths["traced"])
        torch.jit.script(model).save(paths["scripted"])
        torch.export.save(torch.export.export(model, (x,), dynamic_shapes=batch), paths["exported"])
        return paths

    def test_each_kind_of_file_and_layer_in_all_ways(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        model, x = network(), torch.randn(2, 3, *SIZE, dtype=torch.float64)
        self.assertTrue((model(x)[:, TARGET] > 0).all())
        torch.save((x,), folder / "x.pt")
        paths, truth, requests = self.files(model, x, folder), {}, []
        for method, bound in BOUND.items():
            # Where the least value is not 0, pytorch-grad-cam's ablation takes one far below, which the ReLU behind layer 4, the
            # last convolution, makes 0.
            layers = ["1", "2.relu", "4"] + (["2.norm"] if method == "score_cam" else [])
            for layer in layers:
                expected = peer_map(model, layer, method, x)
                print(f"{method} at {layer}: as it is, pytorch-grad-cam is "
                      f"{relative(peer_map(model, layer, method, x, as_it_is=True), expected):.1e} off")
                asked = (layer, "") if layer == "4" else (layer,)
                for (kind, path), prepare, chunk, ours in itertools.product(paths.items(), PREPARATIONS, (0, 3), asked):
                    name = f"{method} at {layer}, {kind}, {prepare}, chunk {chunk}{'' if ours else ', the default'}"
                    truth[name] = expected, bound
                    requests.append({"name": name, "model": path, "prepare": prepare, "inputs": str(folder / "x.pt"),
                                     "method": method, "layer": ours, "chunk": chunk, "target": TARGET})
        (folder / "requests.json").write_text(json.dumps(requests))
        subprocess.run([program("SALIENCE_CUT_TOOL"), folder / "requests.json", folder / "answers.pt"], check=True, timeout=300)
        answers = dict(torch.load(folder / "answers.pt"))
        worst = {}
        for name, (expected, bound) in truth.items():
            with self.subTest(name):
                self.assertIsInstance(answers[name], tuple, answers[name])
                off = relative(answers[name][0], expected)
                key = name.split(",")[0] + (", prepared" if ", fast" in name else "")
                worst[key] = max(off, worst.get(key, 0.0))
                self.assertLess(off, bound)
        for key, off in worst.items():
            print(f"{key}: {off:.1e}")


if __name__ == "__main__":
    unittest.main()
