"""torch.export programs against autograd on the same program in Python, and against the same network as TorchScript.

    python test_exported.py                               SALIENCE_SECONDS (60) of the networks in SHORT
    python test_exported.py --all --report TABLE.md       all networks of test_architectures.py, and a table
    python test_exported.py --names timm:levit_128s       only these
    python test_exported.py --all --log FILE              keeps results in FILE and goes on where it ends

Each network is exported with a dynamic and with a fixed batch, as it is and decomposed. Three rows go through each of these,
prepared and not: vanilla gradients against autograd on `ep.module()` (expected 0.0 where nothing is prepared and the batch is
the same), and through the first and the last kind guided backpropagation, Grad-CAM and Guided Grad-CAM against the TorchScript
file of the network. For decomposed programs this file computes the gradient of hard sigmoids as they do: see exact_hardsigmoid.
"""

import copy
import dataclasses
import io
import json
import os
import pathlib
import re
import tempfile
import time
import typing
import unittest
import unittest.mock
import warnings

import sweeps
import torch
from peers import EXAMPLES, PREPARATIONS, ScriptTool, ToolError, attribute, relative, scenes, weighted
from test_architectures import ALL, FLOAT64, gradient, network, rows_off, timm
from torch import nn
from torch.export.pt2_archive._package import package_pt2

SECONDS = float(os.environ.get("SALIENCE_SECONDS") or 60)
FEWEST = 6  # of SHORT, however slow the machine is
METHODS = "guided,cam,guided_cam"
SHORT = """
    torchvision:resnet18 torchvision:mobilenet_v2 timm:vit_tiny_patch16_224 timm:levit_128s torchvision:squeezenet1_1
    torchvision:shufflenet_v2_x0_5 torchvision:swin_t timm:convnext_atto torchvision:densenet121 timm:coatnet_pico_rw_224
    timm:regnetz_005 torchvision:googlenet own:instance_norm segmentation:lraspp_mobilenet_v3_large video:mc3_18
""".split()
KINDS = {  # the size of the batch, decomposed
    "dynamic": (None, False),
    "fixed": (1, False),
    "dynamic, decomposed": (None, True),
    "fixed, decomposed": (2, True),
}


def exported(model, x, batch, decomposed):
    """The program for a batch of that size, or of any."""
    dynamic = {0: torch.export.Dim("batch")}
    program = torch.export.export(model, (x[:batch or 2],), dynamic_shapes=None if batch else (dynamic,))
    return program.run_decompositions() if decomposed else program


def python_gradient(program, x, batch):
    module = program.module()
    if not batch:
        return gradient(module, x)
    parts = []
    for i in range(0, len(x), batch):
        rows = x[i:i + batch]
        full = torch.cat([rows, *[rows[-1:]] * (batch - len(rows))])
        leaf = full.clone().requires_grad_()
        parts.append(torch.autograd.grad(weighted(module(leaf))[:len(rows)].sum(), leaf)[0][:len(rows)])
    return torch.cat(parts)


def exact_hardsigmoid(x, inplace: bool = False):
    """As decompositions have it: in the gradient of LibTorch's own, 1/6 is a float32, which is 3e-8 off. A clamp at a bound
    beside 0 is no rectifier."""
    return (x + 3).clamp(-1e-300, 6) / 6


class Exported:
    """What was measured on one network: `worst` by kind and way, `faults` as sentences, `refused` by torch.export."""

    def __init__(self, tool, name, kinds=KINDS):
        self.name, self.tool, self.worst, self.faults, self.refused, self.kinds = name, tool, {}, [], {}, []
        started = time.monotonic()
        model, x = network(name)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self.model, self.x = copy.deepcopy(model).double(), x.double()
        self.truth = gradient(self.model, self.x)
        self.script = self.exact = self.as_torchscript()
        if any(isinstance(module, nn.Hardsigmoid) for module in self.model.modules()):
            with unittest.mock.patch.object(nn.functional, "hardsigmoid", exact_hardsigmoid):
                self.exact = self.as_torchscript()
        for kind in kinds:
            self.compare(kind)
        self.seconds = time.monotonic() - started

    def as_torchscript(self):
        path = self.tool.path("network.pt")
        for make in (lambda: torch.jit.trace(self.model, self.x[:2], check_trace=False), lambda: torch.jit.script(self.model)):
            try:
                make().save(str(path))
                return self.tool("ways", path, self.x, "dtype=float64", f"methods={METHODS}", timeout=1200)
            except Exception:
                continue
        return {}

    def compare(self, kind):
        batch, decomposed = KINDS[kind]
        path = self.tool.path("network.pt2")
        try:
            program = exported(self.model, self.x, batch, decomposed)
            truth = python_gradient(program, self.x, batch)
            if rows_off(truth, self.truth)[-1] > 1e-6:
                with torch.no_grad():
                    off = rows_off(program.module()(self.x[:batch]), self.model(self.x[:batch]))[-1]
                if off > 1e-6:  # constants of the example's batch, or of float32
                    self.refused[kind] = f"Python's own output is {off:.0e} off"
                    return
                truth = self.truth  # LibTorch's gradient of BatchNorm is wrong for some layouts of a batch of one
            torch.export.save(program, path)
        except Exception as error:
            self.refused[kind] = f"{type(error).__name__}: {str(error).strip()[:200]}"
            return
        self.kinds.append(kind)
        script = self.exact if decomposed else self.script
        methods = f"brief,{METHODS}" if kind in (list(KINDS)[0], list(KINDS)[-1]) else "brief"
        for prepare in PREPARATIONS:
            try:
                results = self.tool("ways", path, self.x, f"prepare={prepare}", "dtype=float64",
                                    f"methods={methods}", timeout=1200)
            except ToolError as error:
                self.faults.append(f"{kind}, {prepare}: {error}")
                continue
            for way, values in results.items():
                method = way.partition("/")[0]
                if method == "output":
                    continue
                self.hold(f"{kind}, {prepare}, {way}", values, truth if method == "brief" else script.get(way))

    def hold(self, way, values, truth):
        if truth is None:  # the network is no TorchScript
            return
        if isinstance(values, str) or isinstance(truth, str):
            if isinstance(values, str) != isinstance(truth, str):
                self.faults.append(f"{way}: {values if isinstance(values, str) else 'a map'}, TorchScript: "
                                   f"{truth if isinstance(truth, str) else 'a map'}"[:500])
            return
        self.worst[way] = rows_off(values, truth)[-1]
        if self.worst[way] > FLOAT64:
            self.faults.append(f"{way}: {self.worst[way]:.1e} off")

    def as_dict(self):
        return {"name": self.name, "kinds": self.kinds, "worst": self.worst, "faults": self.faults, "refused": self.refused,
                "seconds": self.seconds}


def tried(tool, name, kinds=KINDS):
    warnings.simplefilter("ignore")
    try:
        return Exported(tool, name, kinds).as_dict()
    except Exception as error:  # of the network itself
        return {"name": name, "skipped": f"{type(error).__name__}: {error}"[:300]}


def told(result):
    if "skipped" in result:
        return f"{result['name']}: skipped, {result['skipped']}"
    vanilla = [off for way, off in result["worst"].items() if ", none, brief/" in way]
    head = (f"{result['name']}: {', '.join(result['kinds'])}; {result['seconds']:.0f} s, {len(result['faults'])} faults, vanilla "
            f"unprepared {max(vanilla, default=-1):.0e}")
    return "\n  ".join([head, *(f"refused, {kind}: {why}" for kind, why in result["refused"].items()), *result["faults"]])


COLUMNS = {
    "gradient": lambda way: ", none, brief/" in way,
    "gradient, fast": lambda way: ", fast, brief/" in way,
    "guided": lambda way: ", guided/" in way,
    "Grad-CAM": lambda way: ", cam/" in way,
    "Guided Grad-CAM": lambda way: ", guided_cam/" in way,
}


def table(results):
    """Markdown: the worst deviation of each network in each group of ways."""
    lines = ["| network | exported | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    for result in results:
        if result.get("kinds"):
            kinds = "all" if len(result["kinds"]) == len(KINDS) else ", ".join(result["kinds"])
            cells = [sweeps.worst_cell(result, belongs) for belongs in COLUMNS.values()]
            lines.append(f"| {result['name'].replace(':', ' ')} | {kinds} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


class PairOutput(typing.NamedTuple):
    one: torch.Tensor
    two: torch.Tensor


@dataclasses.dataclass
class ModelOutput:
    loss: typing.Optional[torch.Tensor] = None
    logits: typing.Optional[torch.Tensor] = None
    hidden: typing.Optional[torch.Tensor] = None


torch.export.register_dataclass(ModelOutput, serialized_type_name="ModelOutput")
torch.utils._pytree._register_namedtuple(PairOutput, serialized_type_name="PairOutput")


class Parts(nn.Module):
    """Layers that are used twice, written over, handed on or idle; a buffer, a constant and a weight that is tied."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm, self.relu = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.again, self.idle, self.drop = nn.Conv2d(4, 4, 1), nn.Identity(), nn.Dropout()
        self.register_buffer("scale", torch.rand(4), persistent=False)
        self.shift = torch.rand(4, 1, 1)

    def forward(self, x):
        y = self.relu(self.norm(self.convolution(x)))
        y = self.relu(self.again(y)) + self.shift
        return self.idle(self.drop(y)) * self.scale.view(1, 4, 1, 1)


class Everything(nn.Module):
    """What programs may hold besides operators."""

    def __init__(self):
        super().__init__()
        self.parts, self.head, self.tied = Parts(), nn.Linear(4, 5), nn.Linear(4, 5)
        self.tied.weight = self.head.weight
        self.register_buffer("calls", torch.zeros(()))
        self.threshold = 0.0

    def forward(self, x):
        self.calls.add_(1)
        y = self.parts(x)
        z = self.parts(y[:, :3])
        with torch.no_grad():
            weights = z.mean((2, 3)).sigmoid()
        sign = torch.cond(y.mean() > self.threshold, lambda a: a.sin(), lambda a: a.cos(), (y,)).mean((2, 3))
        out = self.head(z.mean((2, 3)) * weights) * self.calls
        return {"out": out, "rows": x.shape[0], "aux": [self.tied(sign), (sign, y.flatten(1).mean(1))]}


class Autocast(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x):
        y = self.convolution(x).tanh()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z = self.head(y.mean((2, 3)))
            with torch.autocast("cpu", enabled=False):
                w = self.head(y.amax((2, 3)))
        return z.to(y.dtype) + w


class Resampled(nn.Module):
    """What decompositions write with operators that no model calls: a number less a tensor, a copy without a target."""

    def __init__(self):
        super().__init__()
        self.up, self.head = nn.ConvTranspose2d(3, 4, 3, stride=2), nn.Linear(4, 5)

    def forward(self, x):
        y = nn.functional.interpolate(x, size=(17, 19), mode="bilinear") + nn.functional.interpolate(x, size=(17, 19), mode="bicubic")
        y = self.up(nn.functional.grid_sample(y, y[:, :2].permute(0, 2, 3, 1).tanh(), align_corners=False))
        z = torch.zeros_like(y)
        z.copy_(y.amax(1, keepdim=True))
        z[:, 1:, ::2] *= 2
        return self.head((1 - y * z).mean((2, 3)))


class Flags(nn.Module):
    """Flags where operators take numbers: 1 would be of another type than true."""

    def forward(self, x):
        positive, whole = x > 0.5, torch.full((12,), True)
        kept = ~(positive ^ True) & torch.where(x > 0.2, x > 0.7, True) | ~torch.where(positive, False, True)
        last = x[:, :, (torch.arange(12) > 3) & True]
        return (kept * x).mean((2, 3)) + (positive + True).to(x.dtype).mean((2, 3)) * x.mean((2, 3)) + last.amax((2, 3)) * (whole + whole)[0]


class Sizes(nn.Module):
    """Sizes where operators take tensors."""

    def forward(self, x):
        w = x.shape[3]
        whole = torch.div(x * 90, w, rounding_mode="floor") + torch.div(x * 90, w, rounding_mode="trunc") + x.detach() * 90 // w
        return (whole + (w - x) * x).mean((2, 3))


class Factories(nn.Module):
    """Tensors whose type Python takes from its default."""

    def forward(self, x):
        a, b = torch.arange(12.0), torch.linspace(0, 1, 12)
        return ((x @ torch.eye(12) + torch.zeros(12) + torch.ones(12) * b) * a.sqrt() @ torch.full((12, 5), 0.25)).mean((1, 2))[:, None] * torch.ones(5)


class Branches(nn.Module):
    """Layers in the branches of a cond."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x):
        return self.head(torch.cond(x.sum() > 0, lambda x: self.one(x).relu(), lambda x: self.other(x), (x,)).mean((2, 3)))


def written(tool, model, x, batch=None, decomposed=False):
    program, path = exported(model, x, batch, decomposed), tool.path("program.pt2")
    torch.export.save(program, path)
    return program, path


def made_by(make, seed=0):
    torch.manual_seed(seed)
    model = make().eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    return model


class Programs(unittest.TestCase):
    """Small programs of every kind; truth is autograd on what torch.export.load gives."""

    def setUp(self):
        self.tool = self.enterContext(ScriptTool())
        torch.manual_seed(1)
        self.x = torch.rand(3, 3, 12, 12, dtype=torch.float64)

    def test_every_entry_of_what_a_program_returns(self):
        entries = {"out": lambda o: o["out"], "aux.0": lambda o: o["aux"][0], "aux.1.0": lambda o: o["aux"][1][0],
                   "aux.1.1": lambda o: o["aux"][1][1][:, None]}
        for decomposed in (False, True):
            model = made_by(Everything).double()
            model.threshold = float(model.parts(torch.cat([self.x, self.x + 3])).mean())
            _, path = written(self.tool, model, self.x, decomposed=decomposed)
            branches = set()
            for shift in (0.0, 3.0):
                x = self.x + shift
                branches.add(bool(model.parts(x).mean() > model.threshold))
                for name, entry in entries.items():
                    program = torch.export.load(path).module()
                    leaf = x.clone().requires_grad_()
                    output = entry(program(leaf))
                    truth = torch.autograd.grad(weighted(output).sum(), leaf)[0]
                    for prepare in PREPARATIONS:
                        with self.subTest(name, decomposed=decomposed, prepare=prepare, shift=shift):
                            # The second call begins as the first: what is written to a buffer is forgotten.
                            ours = self.tool("gradients", path, x, "dtype=float64", f"prepare={prepare}", f"output={name}", "calls=2")
                            self.assertLess(relative(ours["output"].reshape(output.shape), output), 1e-12)
                            self.assertLess(relative(ours["values"], truth), 1e-12)
            self.assertEqual(branches, {False, True})

    def test_operators_that_decompositions_write(self):
        model = made_by(Resampled).double()
        truth = gradient(model, self.x)  # Python has no gradient of the decomposed program: "aten::copy is not implemented"
        for decomposed in (False, True):
            _, path = written(self.tool, model, self.x, decomposed=decomposed)
            for prepare in PREPARATIONS:
                ours = self.tool("gradients", path, self.x, "dtype=float64", f"prepare={prepare}")["values"]
                self.assertIsInstance(ours, torch.Tensor, ours)
                self.assertLess(relative(ours, truth), 1e-12)

    def test_flags_and_sizes_in_the_place_of_numbers_and_tensors(self):
        for make in (Flags, Sizes):
            dynamic = {0: torch.export.Dim("batch"), 3: torch.export.Dim("width")} if make is Sizes else {0: torch.export.Dim("batch")}
            program, path = torch.export.export(make(), (self.x[:2],), dynamic_shapes=(dynamic,)), self.tool.path("program.pt2")
            for decomposed in (False, True):
                torch.export.save(program.run_decompositions() if decomposed else program, path)
                for prepare in PREPARATIONS:
                    with self.subTest(make.__name__, decomposed=decomposed, prepare=prepare):
                        ours = self.tool("gradients", path, self.x, f"prepare={prepare}")
                        self.assertIsInstance(ours["output"], torch.Tensor, ours["output"])
                        self.assertLess(relative(ours["output"], make()(self.x)), 1e-12)
                        self.assertLess(relative(ours["values"], gradient(make(), self.x)), 1e-12)

    def test_tensors_of_the_default_type_move_with_the_program(self):
        try:
            torch.set_default_dtype(torch.float64)
            output, truth = Factories()(self.x), gradient(Factories(), self.x)
        finally:
            torch.set_default_dtype(torch.float32)
        for decomposed in (False, True):
            _, path = written(self.tool, Factories(), self.x.float(), decomposed=decomposed)
            ours = self.tool("gradients", path, self.x, "dtype=float64")
            self.assertLess(relative(ours["output"], output), 1e-12)
            self.assertLess(relative(ours["values"], truth), 1e-12)
            self.assertIsInstance(self.tool("gradients", path, self.x, "dtype=bfloat16")["values"], torch.Tensor)

    def test_sizes_for_which_the_program_is_another_are_refused(self):
        class Judge(nn.Module):
            def forward(self, x):
                return (x * 2 if x.shape[2] > 20 else x).mean((2, 3))

        Dim, half = torch.export.Dim, torch.export.Dim("half")
        height = Dim("height", min=21, max=100)
        cases = [({0: Dim("batch"), 2: height, 3: height}, (24, 24), {(10, 10): "at least 21 and at most 100 in dimension 2",
                                                                      (24, 30): "dimension 3 must be 24", (24, 24): ""}),
                 ({0: Dim("batch"), 2: 2 * half, 3: 2 * half + 1}, (32, 33), {(31, 33): "a multiple of 2 in dimension 2",
                                                                             (32, 35): "dimension 3 must be 33", (40, 41): ""})]
        for dynamic, (h, w), tried in cases:
            path = self.tool.path("program.pt2")
            torch.export.save(torch.export.export(Judge(), (torch.rand(2, 3, h, w),), dynamic_shapes=(dynamic,)), path)
            for (height, width), words in tried.items():
                x = torch.rand(2, 3, height, width)
                ours = self.tool("gradients", path, x)["output"]
                if words:
                    self.assertIn(words, ours)
                else:
                    self.assertLess(relative(ours, Judge()(x)), 1e-6)

    def test_a_batch_of_limited_size(self):
        model, path = made_by(Parts).double(), self.tool.path("program.pt2")
        dynamic = {0: torch.export.Dim("batch", min=2, max=4)}
        torch.export.save(torch.export.export(model, (self.x,), dynamic_shapes=(dynamic,)), path)
        for rows in (1, 3, 7):
            x = torch.rand(rows, 3, 12, 12, dtype=torch.float64)
            self.assertLess(relative(self.tool("gradients", path, x)["values"], gradient(lambda x: model(x), x)), 1e-12)

    def test_layers_in_branches(self):
        model, path = made_by(Branches).double(), self.tool.path("program.pt2")
        dynamic = {0: torch.export.Dim("batch")}  # only a strict export says which layers the branches call
        torch.export.save(torch.export.export(model, (self.x[:2],), dynamic_shapes=(dynamic,), strict=True), path)
        for x, name, other in ((self.x, "one", "other"), (-self.x, "other", "one")):
            ours = self.tool("layers", path, x, "dtype=float64", "layer=one", "layer=other")
            self.assertLess(relative(ours[f"{name}/activation"], getattr(model, name)(x)), 1e-12)
            self.assertIn(f"the layer '{other}' was not reached", ours[f"{other}/activation"])

    def test_names_of_outputs_in_classes(self):
        class Named(nn.Module):
            def forward(self, x):
                return PairOutput(x.mean((2, 3)), x.amax((2, 3))), ModelOutput(logits=x.sum((2, 3)), hidden=x.square().mean((2, 3)))

        path = self.tool.path("program.pt2")
        torch.export.save(torch.export.export(Named(), (self.x,), dynamic_shapes=({0: torch.export.Dim("batch")},)), path)
        self.assertIn("'0.one' (3, 3), '0.two' (3, 3), '1.logits' (3, 3), '1.hidden' (3, 3)", self.tool("gradients", path, self.x)["output"])
        ours = self.tool("gradients", path, self.x, "output=1.hidden")["output"]
        self.assertLess(relative(ours, self.x.square().mean((2, 3))), 1e-12)

    def test_an_output_that_is_not_there_is_named_with_all_that_are(self):
        _, path = written(self.tool, made_by(Everything).double(), self.x)
        for output, beginning in {"": "the model returns", "aux.2": "there is no entry 'aux.2'"}.items():
            message = self.tool("gradients", path, self.x, f"output={output}")["output"]
            self.assertIn(beginning, message)
            self.assertRegex(message, r"'out' \(.*\), 'aux.0' \(.*\), 'aux.1.0' \(.*\), 'aux.1.1' \(")

    def test_autocast_regions(self):
        model, x = made_by(Autocast), self.x.float()
        for decomposed in (False, True):
            program, path = written(self.tool, model, x, decomposed=decomposed)
            leaf = x.clone().requires_grad_()
            output = program.module()(leaf)
            self.assertGreater(relative(output, made_by(Autocast).double()(x.double())), 1e-4)  # bfloat16 shows
            truth = torch.autograd.grad(weighted(output).sum(), leaf)[0]
            ours = self.tool("gradients", path, x)
            self.assertLess(relative(ours["output"], output), 1e-6)
            self.assertLess(relative(ours["values"], truth), 1e-6)

    def test_layers_have_pythons_names_types_outputs_and_gradients(self):
        model = made_by(Parts).double()
        for decomposed in (False, True):
            _, path = written(self.tool, model, self.x, decomposed=decomposed)
            copied, seen = copy.deepcopy(model), {}
            for module in copied.modules():
                if isinstance(module, nn.ReLU):
                    module.inplace = False
            for name, module in copied.named_modules():
                module.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, output))
            leaf = self.x.clone().requires_grad_()
            score = weighted(copied(leaf)).sum()
            names = [name for name in seen if name and name != "idle"]
            gradients = dict(zip(names, torch.autograd.grad(score, [seen[name] for name in names])))
            ours = self.tool("layers", path, self.x, "dtype=float64")
            listed = {name.rpartition("/")[0] for name in ours}
            self.assertEqual(listed, set(names))
            for name in names:
                with self.subTest(name, decomposed=decomposed):
                    self.assertLess(relative(ours[f"{name}/activation"], seen[name]), 1e-12)
                    self.assertLess(relative(ours[f"{name}/gradient"], gradients[name]), 1e-12)
            process = attribute("--model", path, "--list-layers")
            self.assertEqual(process.returncode, 0, process.stderr)
            types = dict(line.split()[:2] for line in process.stdout.splitlines())
            self.assertEqual(types, {name: type(model.get_submodule(name)).__name__ for name in names})

    def test_types_that_a_program_names_move_with_it(self):
        model, x = network("torchvision:swin_t")
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        truth = gradient(copy.deepcopy(model).double(), x.double())
        program, path = written(self.tool, model, x, decomposed=True)
        ours = self.tool("ways", path, x, "dtype=float64", "methods=brief")["brief/batch of 3"]
        self.assertLess(relative(ours, truth), FLOAT64)
        ours = self.tool("ways", path, x, "dtype=bfloat16", "methods=brief")["brief/batch of 3"]
        self.assertEqual(ours.dtype, torch.bfloat16)
        self.assertGreater(float(torch.cosine_similarity(ours.double().flatten(), truth.flatten(), 0)), 0.9)

    def test_a_program_in_training_mode_warns(self):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(1), nn.LazyLinear(5))
        model(self.x.float())
        for decomposed in (False, True):
            _, path = written(self.tool, model.train(), self.x.float(), decomposed=decomposed)
            process = attribute("--model", path, "--list-layers", "--size", "12x12")
            self.assertEqual(process.returncode, 0, process.stderr)
            self.assertIn("as in training", process.stderr)


class Shipped(unittest.TestCase):
    """The shipped network as a program and as TorchScript, through the program of the main job."""

    def explain(self, model, folder, *more):
        process = attribute("--model", model, "--image", scenes()[0], "--output", folder, "--samples", 4, "--steps", 6,
                            "--segments", "grid:2x2", "--window", "32x32", "--stride", "24x24", *more)
        self.assertEqual(process.returncode, 0, process.stderr)
        return process.stdout

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.methods = re.search(r"\{(vanilla[\w,]+)\}", attribute("--help").stdout)[1].split(",")
        self.methods = [method for method in self.methods if method not in ("attention_rollout", "chefer")]  # it has no attention

    def maps(self, folder):
        return {path.name: path.read_bytes() for path in (self.folder / folder).glob("*.pt")}

    def test_the_same_maps_bit_for_bit(self):
        told = self.explain(EXAMPLES / "scenes.pt2", self.folder / "program", "--method", *self.methods)
        self.assertIn("input 96x96 with 3 channels, as the model's file says", told)
        self.explain(EXAMPLES / "scenes.pt", self.folder / "script", "--size", "96x96", "--method", *self.methods)
        self.assertEqual(set(self.maps("script")), {f"{method}.pt" for method in self.methods})
        self.assertEqual(self.maps("program"), self.maps("script"))

    def test_a_fixed_batch_gives_what_a_dynamic_one_gives_in_any_chunk(self):
        model = torch.export.load(EXAMPLES / "scenes.pt2").module()
        self.explain(EXAMPLES / "scenes.pt2", self.folder / "dynamic", "--dtype", "float64", "--method", *self.methods)
        truth = self.maps("dynamic")
        for batch in (1, 3):
            path = self.folder / f"{batch}.pt2"
            torch.export.save(torch.export.export(model, (torch.rand(batch, 3, 96, 96),)), path)
            for chunk in (1, 5):
                self.explain(path, self.folder / "fixed", "--dtype", "float64", "--chunk", chunk, "--method", *self.methods)
                for name, bytes in self.maps("fixed").items():
                    with self.subTest(name, batch=batch, chunk=chunk):
                        ours, dynamic = (torch.load(io.BytesIO(each)) for each in (bytes, truth[name]))
                        self.assertLess(relative(ours, dynamic), 1e-12)

    def test_an_entry_and_a_model_of_an_archive_are_named_on_the_command_line(self):
        class Two(nn.Module):
            def __init__(self, model):
                super().__init__()
                self.model = model

            def forward(self, x):
                logits = self.model(x)
                return {"twice": logits * 2, "both": [logits, logits.square()]}

        model = torch.export.load(EXAMPLES / "scenes.pt2").module()
        program = torch.export.export(Two(model), (torch.rand(2, 3, 96, 96),))
        path = self.folder / "archive.pt2"
        package_pt2(path, exported_programs={"other": torch.export.load(EXAMPLES / "scenes.pt2"), "two": program})
        self.explain(EXAMPLES / "scenes.pt2", self.folder / "plain", "--dtype", "float64")
        truth = torch.load(io.BytesIO(self.maps("plain")["vanilla.pt"]))
        for entry, factor in (("twice", 2), ("both.0", 1)):
            self.explain(path, self.folder / entry, "--dtype", "float64", "--archived", "two", "--entry", entry)
            self.assertLess(relative(torch.load(self.folder / entry / "vanilla.pt"), factor * truth), 1e-12)
            self.assertEqual(json.loads((self.folder / entry / "prediction.json").read_text())["entry"], entry)
        process = attribute("--model", path, "--image", scenes()[0], "--output", self.folder / "none")
        self.assertEqual(process.returncode, 1)
        self.assertIn("the archive holds the models 'other', 'two'", process.stderr)

    def test_sizes_that_the_file_leaves_open_are_said(self):
        class Free(nn.Module):
            def __init__(self, model):
                super().__init__()
                self.model = model

            def forward(self, x):
                return self.model(nn.functional.interpolate(x, (96, 96)))

        free = Free(torch.export.load(EXAMPLES / "scenes.pt2").module())
        for open_sizes, taken in (
            ((2, 3), "input 3 channels, as the model's file says; 224x224, since the file leaves height and width open: see --size"),
            ((3,), "input 3 channels, as the model's file says; 64x224, since the file leaves the width open: see --size"),
        ):
            dims = {0: torch.export.Dim("batch")} | {d: torch.export.Dim(f"size{d}", min=32) for d in open_sizes}
            path = self.folder / "free.pt2"
            torch.export.save(torch.export.export(free, (torch.rand(2, 3, 64, 64),), dynamic_shapes=(dims,)), path)
            self.assertIn(taken, self.explain(path, self.folder / "free"))

    def test_the_command_line_and_the_file_must_agree(self):
        for more, words in {("--size", "64x64"): "(N, 3, 96, 96), but --size is 64x64", ("--mean", "0.5", "--std", "0.2"): "channels: 1"}.items():
            process = attribute("--model", EXAMPLES / "scenes.pt2", "--image", scenes()[0], "--output", self.folder, *more)
            self.assertEqual(process.returncode, 1)
            self.assertIn(words, process.stderr)


@unittest.skipUnless(timm, "timm is not there")
class ExportedNetworks(unittest.TestCase):
    def test_networks_in_all_forms(self):
        sweeps.try_some(self, SHORT, FEWEST, SECONDS, tried, told, lambda result: self.assertIn("dynamic", result["kinds"]))


if __name__ == "__main__":
    sweeps.main(sweeps.options(), ALL, lambda tool, name, _: tried(tool, name), told, table)
