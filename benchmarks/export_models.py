"""Exports torchvision's networks as TorchScript files, with random weights and calibrated BatchNorm; what is there stays.

export_models.py FOLDER
"""

import os
import pathlib
import sys

import torch
from nets import NETS, build


def export(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in NETS:
        path = folder / f"{name}.pt"
        if path.exists():
            continue
        unfinished = path.with_suffix(".part")
        torch.jit.trace(build(name), torch.zeros(1, 3, 224, 224), check_trace=False).save(str(unfinished))
        os.replace(unfinished, path)
        print(f"wrote {path}", flush=True)


if __name__ == "__main__":
    export(pathlib.Path(sys.argv[1]))
