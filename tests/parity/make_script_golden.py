"""Makes tests/golden/script/interface.pt: a network with a sub-module behind an interface, which C++ cannot write."""

import pathlib

import torch


@torch.jit.interface
class Step(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pass


class Double(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x * 2.0)


class Net(torch.nn.Module):
    step: Step

    def __init__(self):
        super().__init__()
        self.step = torch.jit.script(Double())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.step.forward(x).sum([2, 3])


torch.jit.script(Net()).save(str(pathlib.Path(__file__).parent.parent / "golden/script/interface.pt"))
