"""What Captum's DeepLIFT and zennit's composites cost beside a gradient, in Python, on the networks of relevance.cpp.

    python relevance_peers.py FOLDER ROUNDS NAME...      of export_models.py's FOLDER/NAME.pt; rounds take turns; medians

Captum's sum is wrong where a network has overlapping max pooling or functional activations (docs/methods/deep_lift.md): it is timed
all the same.
"""

import pathlib
import statistics
import sys
import time
import warnings

import torch
from captum.attr import DeepLift, Saliency
from nets import load
from zennit.attribution import Gradient
from zennit.composites import EpsilonAlpha2Beta1, EpsilonGammaBox, EpsilonPlus, EpsilonPlusFlat
from zennit.torchvision import ResNetCanonizer, VGGCanonizer

TARGET = 5


def attributors(name, model, x):
    canonizers = [ResNetCanonizer() if name.startswith("resnet") else VGGCanonizer()]
    one_hot = torch.eye(model(x).shape[1])[[TARGET]]
    low, high = x.min().expand_as(x), x.max().expand_as(x)
    composites = {
        "zennit's EpsilonPlus": EpsilonPlus(canonizers=canonizers),
        "zennit's EpsilonPlusFlat": EpsilonPlusFlat(canonizers=canonizers),
        "zennit's EpsilonAlpha2Beta1": EpsilonAlpha2Beta1(canonizers=canonizers),
        "zennit's EpsilonGammaBox": EpsilonGammaBox(low=low, high=high, canonizers=canonizers),
    }
    yield "Captum's gradient", lambda: Saliency(model).attribute(x, target=TARGET, abs=False)
    if not name.startswith("resnet"):  # it refuses a module that is used twice
        yield "Captum's DeepLift", lambda: DeepLift(model).attribute(x, target=TARGET)
    for title, composite in composites.items():

        def explain(composite=composite):
            with Gradient(model=model, composite=composite) as attributor:
                return attributor(x, one_hot)

        yield title, explain


def main(folder, rounds, *names):
    warnings.simplefilter("ignore")
    for name in names:
        model = load(pathlib.Path(folder, f"{name}.pt"))
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        x = torch.randn(1, 3, 224, 224, requires_grad=True)
        rows = dict(attributors(name, model, x))
        seconds = {title: [] for title in rows}
        for turn in range(int(rounds) + 1):  # the first one warms up
            for title, explain in rows.items():
                begin = time.perf_counter()
                explain()
                if turn:
                    seconds[title].append(time.perf_counter() - begin)
        gradient = seconds["Captum's gradient"]
        print(name)
        for title, measured in seconds.items():
            ratio = statistics.median(a / b for a, b in zip(measured, gradient, strict=True))
            print(f"  {title}: {1000 * statistics.median(measured):.0f} ms; {ratio:.2f} of its gradient")


if __name__ == "__main__":
    main(*sys.argv[1:])
