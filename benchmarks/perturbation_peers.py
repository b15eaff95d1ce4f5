"""What methods of perturbations cost beside Captum's, at as many draws, each of its batch sizes; and RISE beside a plain loop.

    python perturbation_peers.py PROGRAM FOLDER ROUNDS NAME...      PROGRAM: perturbation.cpp; of export_models.py's FOLDER/NAME.pt

Rounds take turns: medians of seconds, and of the ratios to ours in the same round. Times are the processor's, which other work on
the machine does not lengthen by much, on one thread. One draw of Shapley sampling is an order of 49 cells.
"""

import pathlib
import statistics
import subprocess
import sys
import time
import warnings

import torch
from captum.attr import KernelShap, Lime, Occlusion, ShapleyValueSampling
from nets import load
from torch.nn import functional

TARGET = 5
BATCHES = (1, 4, 16)
CHUNKS = {"ours": 0, "ours, 4 at once": 4}
DRAWS = {"occlusion": 784, "shapley_sampling": 4, "kernel_shap": 200, "lime": 200, "rise": 200}


def rise(model, x, count, batch, cells=7, keep=0.5):
    """As the authors' code, which keeps all masks; here they are made by the batch."""
    size = -(-x.shape[-1] // cells)
    total = torch.zeros(x.shape[2:])
    with torch.no_grad():
        for first in range(0, count, batch):
            small = (torch.rand(min(batch, count - first), 1, cells, cells) < keep).float()
            large = functional.interpolate(small, ((cells + 1) * size,) * 2, mode="bilinear")
            places = torch.randint(size, (len(small), 2)).tolist()
            masks = torch.stack([m[:, i:i + x.shape[2], j:j + x.shape[3]] for m, (i, j) in zip(large, places, strict=True)])
            total += (model(x * masks)[:, TARGET, None, None] * masks[:, 0]).sum(0)
    return total / (count * keep)


def peers(model, x):
    """method -> a function of a number of draws and of a batch size"""
    place = torch.arange(x.shape[-1]) * 7 // x.shape[-1]
    cells = (7 * place[:, None] + place)[None, None]

    def of_features(peer, extra=0):
        return lambda draws, batch: peer.attribute(x, target=TARGET, feature_mask=cells, n_samples=draws + extra,
                                                   perturbations_per_eval=batch)

    def occlusion(_, batch):
        return Occlusion(model).attribute(x, (3, 15, 15), (3, 8, 8), target=TARGET, perturbations_per_eval=batch)

    return {
        "occlusion": occlusion,
        "shapley_sampling": of_features(ShapleyValueSampling(model)),
        "kernel_shap": of_features(KernelShap(model), 2),  # all cells and none are two of its draws
        "lime": of_features(Lime(model)),
        "rise": lambda draws, batch: rise(model, x, draws, batch),
    }


def main(program, folder, rounds, *names):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for name in names:
        path = pathlib.Path(folder, f"{name}.pt")
        model = load(path)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        with subprocess.Popen([program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as ours:

            def seconds(method, draws, chunk, ours=ours):
                print(method, draws, chunk, file=ours.stdin, flush=True)
                return float(ours.stdout.readline().split()[1])

            for method, attribute in peers(model, torch.randn(1, 3, 224, 224)).items():
                draws, peer = DRAWS[method], "a plain loop" if method == "rise" else "Captum"
                few = 1 if method == "shapley_sampling" else 16
                if method != "occlusion":  # warms up
                    seconds(method, few, 0)
                    attribute(few, 16)
                measured = {}
                for _ in range(int(rounds)):
                    for title, chunk in CHUNKS.items():
                        measured.setdefault(title, []).append(seconds(method, draws, chunk))
                    for batch in BATCHES:
                        begin = time.process_time()
                        attribute(draws, batch)
                        measured.setdefault(f"{peer}, {batch} at once", []).append(time.process_time() - begin)
                print(f"{name}, {method}, {draws} draws")
                for title, times in measured.items():
                    ratio = statistics.median(b / a for a, b in zip(measured["ours"], times, strict=True))
                    print(f"  {title}: {statistics.median(times):.2f} s, {ratio:.2f} of ours", flush=True)
            ours.stdin.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
