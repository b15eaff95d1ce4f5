"""Writes corpus/exported_program: small programs as exported_program.cpp takes them, one JSON object for each archive.

    python tests/fuzz/make_exported_corpus.py

A record that is JSON stands as it is, any other one as a text of as many characters as it has bytes.
"""

import io
import json
import pathlib
import warnings
import zipfile

import torch

FOLDER = pathlib.Path(__file__).parent / "corpus" / "exported_program"
UNUSED = ("guards_code", "ranks", "opaque_constants", "range_constraints", "opset_version", "is_single_tensor_return", "torch_fn",
          "source_fn_stack", "stack_trace", "from_node", "seq_nr", "is_hop_single_tensor_return")


class Convolution(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 1)
        self.norm = torch.nn.BatchNorm2d(2)
        self.act = torch.nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.norm(self.conv(x))).flatten(2).mean(2)


class Tied(torch.nn.Module):
    """A buffer that is written, one that is not persistent, a constant, a weight twice, a dict."""

    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(2, 2)
        self.b = torch.nn.Linear(2, 2)
        self.b.weight = self.a.weight
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("scale", torch.ones(2), persistent=False)

    def forward(self, x):
        self.count.add_(1)
        return {"out": self.b(self.a(x)) * self.scale, "aux": (x + torch.tensor([1.0, 2.0]), self.count + 1)}


class Sizes(torch.nn.Module):
    def forward(self, x):
        with torch.no_grad():
            y = x.view(x.shape[0], x.shape[1] // 2, 2) * 2.0
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z = torch.matmul(y, y.transpose(1, 2))
        return z.float().sum(1) + torch.cond(x.sum() > 0, lambda t: t.sum(), lambda t: t.mean(), (x,))


class Decomposed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2)

    def forward(self, x):
        return torch.nn.functional.hardswish(self.norm(self.conv(x))).sum((2, 3))


def reduced(value):
    """Without what is not read."""
    if isinstance(value, dict):
        return {key: reduced(inner) for key, inner in value.items() if key not in UNUSED}
    return [reduced(inner) for inner in value] if isinstance(value, list) else value


def container(program):
    file = io.BytesIO()
    torch.export.save(program, file)
    archive = zipfile.ZipFile(file)
    records = {}
    for name in archive.namelist():
        record, content = name.partition("/")[2], archive.read(name)
        if record.endswith(".json"):
            records[record] = reduced(json.loads(content))
        elif "/weight_" in record or "/tensor_" in record:
            records[record] = content.decode("latin-1")
    graph_module = records["models/model.json"]["graph_module"]
    for call in graph_module["module_call_graph"]:  # as JSON, not as JSON in a string
        for spec in ("in_spec", "out_spec"):
            if call.get("signature"):
                call["signature"][spec] = json.loads(call["signature"][spec])
    del graph_module["module_call_graph"][1:]
    return records


def main():
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    dynamic = ({0: torch.export.Dim("batch")},)
    programs = {
        "convolution": torch.export.export(Convolution().eval(), (torch.ones(2, 1, 2, 2),), dynamic_shapes=dynamic),
        "tied": torch.export.export(Tied().eval(), (torch.ones(2, 2),), dynamic_shapes=dynamic),
        "sizes": torch.export.export(
            Sizes(), (torch.ones(2, 4),), dynamic_shapes=({0: torch.export.Dim("n"), 1: 2 * torch.export.Dim("m")},)),
        "decomposed": torch.export.export(Decomposed().eval(), (torch.ones(2, 1, 2, 2),)).run_decompositions(),
        "training": torch.export.export(torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(2)), (torch.ones(2, 2),)),
    }
    FOLDER.mkdir(exist_ok=True)
    for name, program in programs.items():
        (FOLDER / name).write_text(json.dumps(container(program), separators=(",", ":")))


if __name__ == "__main__":
    main()
