"""Exports torchvision's networks as TorchScript files and torch.export programs, with random weights and calibrated BatchNorm; what is there stays.

export_models.py FOLDER
"""

import os
import pathlib
import sys

import torch
from nets import NETS, build


def write_script(model, path):
    torch.jit.trace(model, torch.zeros(1, 3, 224, 224), check_trace=False).save(str(path))


def write_program(model, path):
    dynamic = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(model, (torch.zeros(2, 3, 224, 224),), dynamic_shapes=dynamic), path)


def export(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in NETS:
        for ending, write in {".pt": write_script, ".pt2": write_program}.items():
            path = folder / f"{name}{ending}"
            if path.exists():
                continue
            unfinished = path.with_name(f"{name}.part{ending}")
            write(build(name), unfinished)
            os.replace(unfinished, path)
            print(f"wrote {path}", flush=True)


if __name__ == "__main__":
    export(pathlib.Path(sys.argv[1]))
