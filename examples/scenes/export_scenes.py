"""Writes the network of examples/data/scenes.pt as a torch.export program: the same layers, the same weights.

    python export_scenes.py ../data/scenes.pt ../data/scenes.pt2       with PyTorch 2.13
"""

import sys

import torch
from torch import nn


class Scenes(nn.Module):
    def __init__(self):
        super().__init__()
        layers = []
        for before, after, pools in [(3, 16, True), (16, 32, True), (32, 64, False), (64, 64, True), (64, 128, False), (128, 128, False)]:
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()] + [nn.MaxPool2d(2)] * pools
        self.features, self.avgpool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(128, 8))

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


script = torch.jit.load(sys.argv[1])
model = Scenes()
model.load_state_dict(script.state_dict())
x = torch.rand(2, 3, 96, 96)
assert torch.equal(model.eval()(x), script.eval()(x))
program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
for node in program.graph.nodes:
    node.meta.pop("stack_trace", None)  # which would name folders of this machine
torch.export.save(program, sys.argv[2])
