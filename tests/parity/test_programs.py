"""Random programs in TorchScript against the same programs in eager Python: in-place writes, views, loops, branches, buffers.

    python test_programs.py                            the known cases, then SALIENCE_SECONDS (30) of random programs
    python test_programs.py --from 1000 --seconds 600  a longer run from that seed
    python test_programs.py --show 17                  the program of a seed, and what is wrong with it
    python test_programs.py --shrink 17                the same after leaving out all that the fault does not need

Truth is eager autograd in float64, for batches of one and of two. A program that eager Python cannot run or differentiate
proves nothing; one that TorchScript itself compiles to something else (its first call gives another output) neither. By its
schemas dropout and type_as give new tensors, where eager Python gives the same one: writes through them are lost.
"""

import argparse
import collections
import copy
import linecache
import os
import random
import re
import time
import typing
import unittest
import unittest.mock
import warnings

import torch
import torch.nn.functional as F
from peers import PREPARATIONS, ScriptTool, ToolError, weighted
from torch import Tensor, nn

BATCHES = (1, 2)
INPUT = (4, 4, 4)
TOLERANCE = 1e-9
SECONDS = float(os.environ.get("SALIENCE_SECONDS") or 30)

HEADER = '''
class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.norm(self.convolution(x))
        y += x
        return self.relu(y)


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(4, 2, 1)
        self.up = nn.Conv2d(2, 4, 1)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x):
        s = self.act(self.down(x.mean([2, 3], keepdim=True)))
        return x * torch.sigmoid(self.up(s))


class Dropping(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        y = F.dropout(x, 0.5, self.training)
        if self.training:
            y = y * 3.0
        else:
            y = y + 0.125
        return F.relu(self.convolution(y), inplace=True)


class Repeated(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)])

    def forward(self, x):
        for layer in self.layers:
            x = x + F.relu(layer(x), inplace=True)
        return x


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.seen += 1
        return x * self.seen


def scaled(t: Tensor) -> Tensor:
    return torch.relu(t * 0.5 + 0.25)


def written(t: Tensor) -> Tensor:
    y = t * 1.5
    y.mul_(2.0)
    return F.relu(y, inplace=True)


def viewed(t: Tensor) -> Tensor:
    y = t.flatten(1) + 0.5
    y[:, 0] = 0.25
    return y.view(t.size(0), t.size(1), -1).reshape(t.shape)


class Program(nn.Module):
    def __init__(self):
        super().__init__()
        self.flag = True
        self.calls = 0
        self.register_buffer("count", torch.ones(1))
        self.register_buffer("scale", torch.linspace(0.5, 1.5, 4).view(4, 1, 1))
        self.register_buffer("total", torch.zeros(1))
        self.moving = nn.Parameter(torch.ones(1), requires_grad=False)
        self.weight = nn.Parameter(torch.linspace(-1.0, 1.0, 4).view(4, 1, 1))
        MODULES

    def finish(self, t: Tensor) -> Tensor:
        f = t.flatten(1)
        f = f * torch.cos(torch.arange(f.size(1), dtype=f.dtype))
        return torch.stack([f.sum(1), torch.tanh(f).sum(1)], 1)

    def branch(self, x: Tensor, y: Tensor) -> Tensor:
        v = F.dropout(x * 0.5, 0.5, self.training)
        v.add_(0.25)
        return torch.tanh(y) + v

    def forward(self, x: Tensor) -> Tensor:
'''

MAIN = "class Program"

# Once wrong, each: seen by a person, or found here.
CASES = {
    "a ReLU of what is read again, in a loop":
        """h = self.m0(x)
           out = torch.zeros_like(x)
           for i in range(3):
               out = out + torch.relu(h) * (i + 1)
           return self.finish(out)""",
    "a ReLU written to, in a loop":
        """h = self.m0(x)
           out = torch.zeros_like(x)
           for i in range(3):
               r = torch.relu(h)
               r += 1.0
               out = out + r * (i + 1)
           return self.finish(out)""",
    "a write through a dropout":
        """h = self.m0(x)
           v = F.dropout(h, 0.5, self.training)
           v.mul_(0.5)
           return self.finish(h)""",
    "a write through a dropout module":
        """h = self.m0(x)
           v = self.m1(h)
           v.mul_(0.5)
           return self.finish(h)""",
    "a write through a dropout of channels":
        """h = self.m0(x)
           v = F.dropout2d(h, 0.5, self.training)
           v[:, 0].mul_(0.5)
           return self.finish(h)""",
    "a write to what a list holds":
        """h = self.m0(x)
           l = [h, x]
           h.mul_(0.5)
           return self.finish(torch.cat(l, 1))""",
    "a write to an entry of a list, behind a branch that is never taken":
        """h = self.m2(self.m0(x))
           l = [h * 2.0, x]
           l[0].mul_(0.5)
           return self.finish(torch.stack(l).sum(0))""",
    "a write to what a module gave back as it was":
        """h = self.m0(x)
           v = self.m3(h)
           v.mul_(0.5)
           return self.finish(h) + self.finish(v)""",
    "an activation in place whose result nobody takes":
        """h = self.m0(x)
           self.m2(h)
           return self.finish(h)""",
    "layers and writes in forks, whose futures a list holds":
        """f = torch.jit.fork(self.m0, x)
           futures: List[torch.jit.Future[Tensor]] = []
           for i in range(2):
               futures.append(torch.jit.fork(self.branch, x * 2.0, x * float(i + 1)))
           out = torch.jit.wait(f)
           for g in futures:
               out = out + torch.jit.wait(g)
           return self.finish(out)""",
    "an autocast of the model's own":
        """h = self.m0(x)
           with torch.autocast("cpu", enabled=False):
               h = h * torch.tanh(h)
           return self.finish(h)""",
    "an activation in place on a view":
        """h = self.m0(x)
           v = self.m2(h[:, 1:])
           v.mul_(0.5)
           return self.finish(h) + self.finish(v)""",
}
CASE_MODULES = [("m0", "nn.Conv2d(4, 4, 3, padding=1)"), ("m1", "nn.Dropout(0.5)"), ("m2", "nn.ReLU(inplace=True)"),
                ("m3", "nn.Identity()")]

Value = collections.namedtuple("Value", "name shape plain writable")  # shape without the batch; plain: contiguous in Python

UNARY = ["torch.relu({})", "F.relu({})", "{}.relu()", "torch.tanh({})", "torch.sigmoid({})", "{} * 0.5", "{} + 0.25", "{} - 1.5",
         "{} * -1.25", "torch.clamp({}, -0.5, 0.5)", "F.hardtanh({})", "F.relu6({})", "F.silu({})", "F.gelu({})", "F.elu({})",
         "F.leaky_relu({}, 0.1)", "torch.sin({})", "-{}", "{}.clone()", "{}.clamp_min(0.0)", "F.hardswish({})", "F.softplus({})",
         "torch.zeros_like({}) + 0.5", "{0} * float({0}.mean())", "{}.detach() * 0.5", "{} * self.moving"]
BINARY = ["{} + {}", "{} - {}", "{} * torch.tanh({})", "torch.where({0} > 0.1, {0}, {1})", "torch.add({}, {}, alpha=0.5)",
          "torch.addcmul({0}, {1}, torch.sin({1}), value=0.5)"]
SAME = ["{}", "F.dropout({}, 0.5, self.training)", "F.dropout({}, 0.5, False)", "F.dropout({}, 0.5, self.training, True)",
        "F.dropout2d({}, 0.5, self.training)", "F.alpha_dropout({}, 0.5, self.training)", "{}.contiguous()", "{}.to(torch.float64)",
        "{}.double()", "{0}.view_as({0})", "{0}.expand_as({0})", "{0}.reshape({0}.shape)", "{}.unsqueeze(1).squeeze(1)",
        "{}[:]"]
WRITES = ["{}.mul_(0.5)", "{} *= 0.5", "{}.add_(0.25)", "{} += 0.5", "{}.sub_(0.25)", "{}.relu_()", "torch.relu_({})",
          "F.relu({}, inplace=True)", "F.hardtanh({}, inplace=True)", "F.relu6({}, inplace=True)", "F.leaky_relu({}, 0.1, inplace=True)",
          "F.dropout({}, 0.5, self.training, inplace=True)", "{}.clamp_(-0.5, 0.5)", "{}.clamp_min_(0.0)", "{}.neg_()",
          "{}[:, 0] = 0.5", "{}[:, 0:1] *= 2.0", "{}[:, 1].add_(1.0)", "{}.narrow(1, 0, 1).mul_(0.5)", "{}.select(1, 0).relu_()",
          "{}.transpose(0, 1).add_(0.25)", "{0}.masked_fill_({0} > 0.5, 0.25)", "{}.zero_()", "{}.fill_(0.5)", "{}.tanh_()",
          "F.elu({}, inplace=True)", "F.silu({}, inplace=True)"]
WRITES_OF = ["{}.add_({})", "{} += {}", "{} -= {}", "{}.copy_({})", "{}.add_({}, alpha=0.5)", "{}[:, 0:1] = {}[:, 1:2]",
             "{}.mul_(torch.sigmoid({}))", "{}[:, 0].copy_({}[:, 1])"]
CONDITIONS = ["{}.sum() > 0", "{}.mean() < 0.1", "float({}.max()) > 1.0", "self.training", "not self.training", "self.flag",
              "x.size(0) > 1", "bool(({} > 0.0).any())"]
IMAGE_MODULES = ["nn.Conv2d({c}, 4, 3, padding=1)", "nn.Conv2d({c}, 4, 1)", "nn.Conv2d({c}, 4, 3, padding=1, bias=False)",
                 "nn.Sequential(nn.Conv2d({c}, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))",
                 "nn.Sequential(nn.Conv2d({c}, 4, 3, padding=1), nn.ReLU(inplace=True))",
                 "nn.Sequential(nn.Conv2d({c}, 4, 1), nn.BatchNorm2d(4))", "nn.Conv2d({c}, 4, 3, padding=1, padding_mode='reflect')"]
IMAGE_SAME = ["nn.BatchNorm2d({c})", "nn.BatchNorm2d({c}, affine=False)", "nn.InstanceNorm2d({c}, affine=True)", "nn.GroupNorm(1, {c})",
              "nn.Conv2d({c}, {c}, 3, padding=1, groups={c})", "nn.Dropout2d(0.5)"]
SAME_MODULES = ["nn.ReLU()", "nn.ReLU(inplace=True)", "nn.ReLU6(inplace=True)", "nn.Hardtanh(inplace=True)", "nn.Dropout(0.5)",
                "nn.Dropout(0.5, inplace=True)", "nn.Identity()", "nn.GELU()", "nn.SiLU(inplace=True)", "Counting()",
                "nn.Sequential(nn.Identity(), nn.Dropout(0.5))"]
BLOCKS = ["Residual()", "Gate()", "Dropping()", "Repeated()", "nn.Sequential(Residual(), Residual())"]


class Generator:
    """Draws one program: its statements as a tree (a line, or a list of headers with their bodies), and its modules."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.count = 0
        self.modules = []
        self.accepts = {}  # shapes that a module was made for
        self.scopes = [[Value("x", INPUT, True, True)]]
        self.loops = 0
        self.nodes = self.statements(self.chance.randint(3, 12), 0)
        self.nodes.append("return " + " + ".join(f"self.finish({value.name})" for value in self.ends()))

    def ends(self):
        values = self.visible()
        return self.chance.sample(values, min(len(values), self.chance.randint(1, 4)))

    def visible(self):
        return [value for scope in self.scopes for value in scope]

    def pick(self, accept=lambda value: True):
        values = [value for value in self.visible() if accept(value)]
        if not values:
            return None
        return self.chance.choice(values[-3:] if self.chance.random() < 0.6 else values)

    def name(self, prefix="v"):
        self.count += 1
        return f"{prefix}{self.count}"

    def fresh(self, expression, shape, plain, writable=True):
        value = Value(self.name(), tuple(shape), plain, writable)
        self.scopes[-1].append(value)
        return [f"{value.name} = {expression}"]

    def statements(self, number, depth):
        nodes = []
        for _ in range(number):
            nodes += self.statement(depth)
        return nodes

    def statement(self, depth):
        kinds = {self.unary: 4, self.binary: 4, self.layer: 8, self.view: 6, self.write: 7, self.same: 4, self.buffer: 2,
                 self.container: 2, self.fork: 1, self.constant: 1}
        if depth < 2:
            kinds |= {self.loop: 3, self.branch: 3, self.early: 0.7, self.no_grad: 0.3}
        kind = self.chance.choices(list(kinds), list(kinds.values()))[0]
        return kind(depth)

    def scope(self, number, depth, last=lambda: []):
        """The nodes of an inner block; what it defines is not seen outside."""
        self.scopes.append([])
        nodes = self.statements(number, depth + 1) + last()
        self.scopes.pop()
        return nodes

    # ---- statements -----------------------------------------------------------------------------------------

    def unary(self, _):
        value = self.pick()
        return self.fresh(self.chance.choice(UNARY).format(value.name), value.shape, value.plain)

    def pair(self, accept=lambda value: True):
        value = self.pick(accept)
        return value, value and self.pick(lambda other: other.shape == value.shape)

    def binary(self, _):
        value, other = self.pair()
        return self.fresh(self.chance.choice(BINARY).format(value.name, other.name), value.shape, value.plain and other.plain)

    def constant(self, _):
        value = self.pick(lambda value: len(value.shape) == 3 and value.shape[0] == 4)
        if not value:
            return []
        made = self.chance.choice(["{} * self.weight", "{} + self.scale", "{} * (self.weight * 2.0 + self.scale)",
                                   "{} * torch.relu(self.weight)", "{} + self.scale.view(1, 4, 1, 1).expand(1, 4, 1, 1)"])
        return self.fresh(made.format(value.name), value.shape, value.plain)

    def same(self, _):
        value = self.pick()
        made = self.chance.choice(SAME)
        return self.fresh(made.format(value.name), value.shape, value.plain, value.writable)

    def layer(self, _):
        value = self.pick()
        known = [name for name, shapes in self.accepts.items() if value.shape[:len(shapes)] == shapes]
        image = len(value.shape) == 3
        if known and self.chance.random() < 0.3:
            name = self.chance.choice(known)
            made = dict(self.modules)[name]
        else:
            kinds = SAME_MODULES * 2
            if image:
                kinds = kinds + IMAGE_MODULES * 4 + IMAGE_SAME * 2
                kinds = kinds + BLOCKS * 2 if value.shape[0] == 4 else kinds
                if min(value.shape[1:]) >= 4:
                    kinds = kinds + ["nn.MaxPool2d(2)", "nn.AvgPool2d(2)"]
            elif value.shape:
                kinds = kinds + ["nn.Linear({f}, 4)", "nn.LayerNorm({f})", "nn.Linear({f}, {f})"] * 4
            if image and min(value.shape[1:]) < 2:
                kinds = [kind for kind in kinds if "reflect" not in kind and "InstanceNorm" not in kind]
            made = self.chance.choice(kinds).format(c=value.shape[0] if value.shape else 0, f=value.shape[-1] if value.shape else 0)
            name = f"m{len(self.modules)}"
            self.modules.append((name, made))
            self.accepts[name] = value.shape
        shape, plain = value.shape, value.plain
        if made.startswith(("nn.Conv2d", "nn.Sequential(nn.Conv2d")):
            shape, plain = ((4 if "groups" not in made else shape[0]), *shape[1:]), True
        elif "Pool2d" in made:
            shape, plain = (shape[0], shape[1] // 2, shape[2] // 2), True
        elif "Linear" in made:
            shape, plain = (*shape[:-1], 4 if made.endswith(" 4)") else shape[-1]), True
        elif made in BLOCKS or "Norm" in made:
            plain = False
        return self.fresh(f"self.{name}({value.name})", shape, plain)

    def view(self, _):
        value = self.pick(lambda value: len(value.shape) >= 1)
        u, shape = value.name, value.shape
        choices = []
        add = lambda expression, shape, plain=False: choices.append((expression, tuple(shape), plain))
        first = shape[0]
        if len(shape) == 3:
            c, h, w = shape
            add(f"{u}.flatten(1)", (c * h * w,), True)
            add(f"{u}.flatten(2)", (c, h * w), True)
            add(f"{u}.flatten(2).transpose(1, 2)", (h * w, c))
            add(f"{u}.transpose(2, 3)", (c, w, h))
            add(f"{u}.permute(0, 2, 3, 1)", (h, w, c))
            add(f"{u}.reshape({u}.size(0), -1)", (c * h * w,), True)
            add(f"{u}[:, :, 1:]", (c, h - 1, w)) if h > 1 else None
            add(f"{u}[:, :, ::2]", (c, (h + 1) // 2, w))
            add(f"{u}.mean([2, 3])", (c,), True)
            add(f"{u}.mean([2, 3], keepdim=True)", (c, 1, 1), True)
            if value.plain:
                add(f"{u}.view({u}.size(0), -1)", (c * h * w,), True)
                add(f"{u}.view({u}.size(0), {c}, -1)", (c, h * w), True)
        if len(shape) == 2:
            add(f"{u}.transpose(1, 2)", shape[::-1])
            add(f"{u}.mT", shape[::-1])
            add(f"{u}.unsqueeze(3)", (*shape, 1))
        if shape == (64,) or shape == (4, 16):
            add(f"{u}.reshape({u}.size(0), 4, 4, 4)", INPUT, True)
            if value.plain:
                add(f"{u}.view({u}.size(0), 4, 4, 4)", INPUT, True)
        if first > 1:
            k = self.chance.randrange(first - 1)
            add(f"{u}.narrow(1, {k}, 2)", (2, *shape[1:]))
            add(f"{u}[:, {k}:]", (first - k, *shape[1:]))
            if len(shape) > 1:
                add(f"{u}.select(1, {k})", shape[1:])
                add(f"{u}[:, {k}]", shape[1:])
                add(f"{u}.unbind(1)[{k}]", shape[1:])
        if first % 2 == 0:
            half = (first // 2, *shape[1:])
            add(f"torch.chunk({u}, 2, 1)[{self.chance.randrange(2)}]", half)
            add(f"torch.split({u}, {first // 2}, dim=1)[{self.chance.randrange(2)}]", half)
            if self.chance.random() < 0.3:
                a, b = (Value(self.name(), half, False, value.writable) for _ in range(2))
                self.scopes[-1] += [a, b]
                return [f"{a.name}, {b.name} = {self.chance.choice(['torch.chunk({0}, 2, 1)', '{0}.chunk(2, 1)'])}".format(u)]
        if not choices:
            return []
        expression, shape, plain = self.chance.choice(choices)
        return self.fresh(expression, shape, plain, value.writable)

    def write(self, _):
        value, other = self.pair(lambda value: value.writable and value.shape and value.shape[0] > 1)
        if not value:
            return []
        if self.chance.random() < 0.3:
            return [self.chance.choice(WRITES_OF).format(value.name, other.name)]
        # mostly what keeps the gradient: eager Python refuses a write to what it needs for one
        write = self.chance.choice(WRITES[:6] + WRITES[14:20] if self.chance.random() < 0.6 else WRITES)
        return [write.format(value.name)]

    def buffer(self, _):
        kind = self.chance.randrange(7)
        value = self.pick(lambda value: len(value.shape) == 3 and value.shape[0] == 4) or self.pick()
        by_channel = len(value.shape) == 3 and value.shape[0] == 4
        if kind == 0:
            return ["self.count += 1", *self.fresh(f"{value.name} * self.count", value.shape, value.plain)]
        if kind == 1:
            return ["self.moving.mul_(0.5)", f"self.moving.add_({value.name}.detach().mean())",
                    *self.fresh(f"{value.name} + self.moving", value.shape, value.plain)]
        if kind == 2 and by_channel:
            return ["self.scale.mul_(0.5)", *self.fresh(f"{value.name} * self.scale", value.shape, value.plain)]
        if kind == 3 and by_channel:
            return [f"self.scale.copy_({value.name}.detach().mean([0, 2, 3]).view(4, 1, 1))",
                    *self.fresh(f"{value.name} - self.scale", value.shape, value.plain)]
        if kind == 4:
            return ["self.total = self.total + 1.0", *self.fresh(f"{value.name} * self.total", value.shape, value.plain)]
        if kind == 5:
            return ["self.calls += 1", *self.fresh(f"{value.name} * self.calls", value.shape, value.plain)]
        old = self.name("b")
        return [f"{old} = self.count", "self.count.mul_(2.0)", *self.fresh(f"{value.name} * {old}", value.shape, value.plain)]

    def container(self, _):
        value, other = self.pair()
        name, kind = self.name("l"), self.chance.randrange(4)
        u, w = value.name, other.name
        if kind == 0:
            a, b = (Value(self.name(), value.shape, False, value.writable and other.writable) for _ in range(2))
            self.scopes[-1] += [a, b]
            return [f"{name} = ({w}, {u})", f"{a.name}, {b.name} = {name}"]
        if kind == 1:
            nodes = [f"{name} = {{'a': {u}, 'b': {w}}}"]
            nodes += [f"{name}['a'].mul_(0.5)"] if value.writable and self.chance.random() < 0.5 else []
            nodes += [f"{name}['b'] = {name}['a'] + 0.5"] if self.chance.random() < 0.5 else []
            return nodes + self.fresh(f"{name}['{self.chance.choice('ab')}']", value.shape, False, value.writable and other.writable)
        nodes = [f"{name} = [{u}, {w}]"]
        for _ in range(self.chance.randrange(3)):
            third = self.pick(lambda third: third.shape == value.shape)
            writes = [f"{name}[0].mul_(0.5)", f"{name}[-1].add_(0.25)"] if value.writable and other.writable else []
            nodes.append(self.chance.choice([f"{name}.append({third.name})", f"{name}[0] = {name}[1] + 0.5",
                                             f"{name} = [t * 0.5 for t in {name}]", *writes]))
        if kind == 2:
            total = self.name()
            nodes += [f"{total} = torch.zeros_like({u})", [(f"for t in {name}:", [self.chance.choice(
                [f"{total} = {total} + t", f"{total} += torch.relu(t)", f"{total} = {total} * 0.5 + F.relu(t)"])])]]
            self.scopes[-1].append(Value(total, value.shape, False, True))
            return nodes
        last = self.chance.choice([f"torch.stack({name}).sum(0)", f"torch.cat({name}, 0)[:{u}.size(0)]", f"{name}[-1]",
                                   f"{name}.pop()"])
        return nodes + self.fresh(last, value.shape, False, value.writable and other.writable)

    def fork(self, depth):
        value = self.pick(lambda value: len(value.shape) >= 1)
        future = self.name("f")
        modules = [name for name, made in self.modules if self.accepts[name] == value.shape
                   and not re.search("inplace|Conv|Linear|Pool|Counting|Drop|Identity|Residual|Gate|Repeated", made)]
        called = f"self.{self.chance.choice(modules)}" if modules and self.chance.random() < 0.5 else self.chance.choice(
            ["scaled", "written", "viewed"])
        nodes = [f"{future} = torch.jit.fork({called}, {value.name})"]
        nodes += self.unary(depth) if self.chance.random() < 0.5 else []
        return nodes + self.fresh(f"torch.jit.wait({future})", value.shape, False)

    def condition(self):
        conditions = CONDITIONS + ([f"i{self.loops} == 1", f"i{self.loops} > 0"] * 2 if self.loops else [])
        return self.chance.choice(conditions).format(self.pick().name)

    def loop(self, depth):
        start = self.pick()
        nodes, u = [], start.name
        total = Value(self.name("a"), start.shape, False, True)
        nodes.append(f"{total.name} = " + self.chance.choice([f"torch.zeros_like({u})", f"{u} * 0.5", f"{u}.clone()"]))
        self.scopes[-1].append(total)
        self.loops += 1
        i, times, a = f"i{self.loops}", self.chance.randint(1, 3), total.name

        def last():
            value = self.pick(lambda value: value.shape == total.shape)
            end = [self.chance.choice(["{a} = {a} + {u} * ({i} + 1)", "{a} = {a} + torch.relu({u})", "{a} += {u}", "{a}.add_({u})",
                                       "{a} = {a} * 0.5 + F.relu({u}) * ({i} + 1)", "{a} = {u}"]).format(a=a, u=value.name, i=i)]
            if self.chance.random() < 0.15:
                end.append([(f"if {self.condition()}:", [self.chance.choice(["break", "continue"])])])
            return end

        if self.chance.random() < 0.3 and len(start.shape) == 3:  # the loop alone reads this, more than once
            kept = f"m{len(self.modules)}"
            self.modules.append((kept, f"nn.Conv2d({start.shape[0]}, {start.shape[0]}, 1)"))
            self.accepts[kept] = start.shape
            nodes.append(f"{self.name('h')} = self.{kept}({u})")
            kept = nodes[-1].partition(" ")[0]
            first = [f"{a} = {a} + " + self.chance.choice(["torch.relu({})", "F.relu({})", "F.hardtanh({})", "F.relu6({})"]).format(kept)]
            if self.chance.random() < 0.3:
                first = [f"r = torch.relu({kept})", "r += 0.5", f"{a} = {a} + r"]
        else:
            first = []
        body = first + self.scope(self.chance.randint(0, 3), depth, last)
        if self.chance.random() < 0.2:
            nodes += [f"{i} = 0", [(f"while {i} < {times}:", [f"{i} += 1", *body])]]
        else:
            nodes.append([(f"for {i} in range({times}):", body)])
        self.loops -= 1
        return nodes

    def branch(self, depth):
        target = self.pick()
        condition = self.condition()
        assign = lambda name: lambda: [f"{name} = " + self.chance.choice(["{}", "torch.relu({})", "{} * 0.5", "{} + 0.25"]).format(
            self.pick(lambda value: value.shape == target.shape).name)]
        kind = self.chance.randrange(3)
        if kind == 0:  # no else; what was there may be another tensor after
            return [[(f"if {condition}:", self.scope(self.chance.randint(1, 2), depth))]]
        name = self.name() if kind == 1 else target.name
        both = [("if " + condition + ":", self.scope(self.chance.randint(0, 2), depth, assign(name))),
                ("else:", self.scope(self.chance.randint(0, 2), depth, assign(name)))]
        if kind == 1:
            self.scopes[-1].append(Value(name, target.shape, False, target.writable))
        return [both]

    def early(self, depth):
        return [[(f"if {self.condition()}:", self.scope(self.chance.randint(0, 1), depth,
                                                        lambda: [f"return self.finish({self.pick().name})"]))]]

    def no_grad(self, depth):
        value = self.pick()
        name = self.name()
        nodes = [f"{name} = {value.name} * 0.5",
                 [("with torch.no_grad():", [f"{name} = {name} + torch.relu({value.name})"])]]
        self.scopes[-1].append(Value(name, value.shape, value.plain, True))
        return nodes


def rendered(nodes, indent=8):
    lines = []
    for node in nodes:
        if isinstance(node, str):
            lines.append(" " * indent + node)
            continue
        for header, body in node:
            lines += [" " * indent + header, *rendered(body or ["pass"], indent + 4)]
    return lines


def source_of(nodes, modules):
    made = "\n        ".join(f"self.{name} = {module}" for name, module in modules) or "pass"
    return HEADER.replace("MODULES", made) + "\n".join(rendered(nodes)) + "\n"


def built(source, seed):
    """The module, in float64 and evaluation mode, with statistics of BatchNorm as after training."""
    name = f"<program {seed}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)  # where TorchScript looks for the text
    space = {"torch": torch, "nn": nn, "F": F, "Tensor": Tensor, "List": typing.List, "__name__": "program"}
    exec(compile(source, name, "exec"), space)
    torch.manual_seed(seed)
    module = space["Program"]().double()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            if part.affine:
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias)
    return module.eval()


def batch_norm(x, mean, var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """By its formula: LibTorch's own gradient is wrong for some layouts of a batch of one."""
    shape = (1, -1, *[1] * (x.dim() - 2))
    y = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + eps)
    return y if weight is None else y * weight.view(shape) + bias.view(shape)


def instance_norm(x, mean=None, var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5):
    """The same."""
    spatial = list(range(2, x.dim()))
    y = (x - x.mean(spatial, keepdim=True)) / torch.sqrt(x.var(spatial, unbiased=False, keepdim=True) + eps)
    shape = (1, -1, *[1] * (x.dim() - 2))
    return y if weight is None else y * weight.view(shape) + bias.view(shape)


def by_formula():
    return unittest.mock.patch.multiple(F, batch_norm=batch_norm, instance_norm=instance_norm)


def raises(module, x):
    """Whether Python's own backward pass throws (the formulas above keep less for it)."""
    module = copy.deepcopy(module)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    try:
        score = weighted(module(x.clone().requires_grad_().clone())).sum()
        if score.requires_grad:
            score.backward()
    except RuntimeError:
        return True
    return False


def eager(module, x, taps=(), cut=False):
    """The output, the gradient at x, and by name what the layers in `taps` gave, of a copy of the module. With `cut` a layer's
    output goes on as a copy, so that nothing writes into it, and its gradients are there too: that of the copy, and that of the
    tensor itself, which may be another layer's as well (an Identity's input)."""
    module = copy.deepcopy(module)
    for parameter in module.parameters():  # a layer has a gradient only if it depends on x
        parameter.requires_grad_(False)
    seen = {}

    def tap(name):
        def hook(_, __, output):
            given = output.clone() if cut else output
            # in place on what it gave before: the copy has cut off whoever else reads that
            chained = name in seen and output is seen[name][2]
            seen[name] = (output.detach().clone(), None if chained else output._version, given, output)
            return given
        return hook

    for name in taps:
        module.get_submodule(name).register_forward_hook(tap(name))
    leaf = x.clone().requires_grad_()
    with by_formula():
        output = module(leaf.clone())
    score = weighted(output).sum()
    if not score.requires_grad:
        return output.detach(), None, {}
    wanted = [leaf] + [tensor for _, _, *both in seen.values() for tensor in both if cut and tensor.requires_grad]
    gradients = dict(zip(map(id, wanted), torch.autograd.grad(score, wanted, allow_unused=True)))
    # A tensor that was written to by another name is no longer what the layer gave.
    layers = {name: (value, [gradients.get(id(tensor)) if both[1]._version == version else None for tensor in both])
              for name, (value, version, *both) in seen.items()}
    return output.detach(), gradients[id(leaf)], layers


def distance(ours, truth):
    if ours.shape != truth.shape:
        return float("inf")
    return float((ours - truth).norm() / max(float(truth.norm()), 1e-6))


def numeric(module, x, step):
    """The gradient by central differences."""
    with torch.no_grad(), by_formula():
        result = torch.zeros_like(x)
        for i in range(x.numel()):
            ends = []
            for sign in (step, -step):
                moved = x.clone()
                moved.view(-1)[i] += sign
                ends.append(float(weighted(copy.deepcopy(module)(moved)).sum()))
            result.view(-1)[i] = (ends[0] - ends[1]) / (2 * step)
    return result


def at_a_kink(module, x, truth):
    """Whether rounding decides: a change of 1e-11 in what goes in changes the gradient."""
    generator = torch.Generator().manual_seed(0)
    moved = copy.deepcopy(module)
    with torch.no_grad():
        for tensor in moved.parameters():
            tensor.mul_(1 + 1e-11 * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype))
    near = eager(moved, x * (1 + 1e-11 * torch.randn(x.shape, generator=generator, dtype=x.dtype)))[1]
    return near is None or distance(near, truth) > 1e-8


class Outcome(Exception):
    """Why a program proves nothing."""


def save_script(module, inputs, path):
    """Writes the scripted module. Throws Outcome unless it computes what eager Python does."""
    try:
        torch.jit.script(copy.deepcopy(module)).save(str(path))
    except Exception as error:
        raise Outcome("TorchScript cannot compile it") from error
    for x in inputs:
        try:
            with by_formula():
                expected = copy.deepcopy(module)(x.clone()).detach()
        except Exception as error:
            raise Outcome("eager Python cannot run it") from error
        if not expected.isfinite().all() or expected.abs().max() > 1e6:
            raise Outcome("its numbers are out of bounds")
        try:
            with torch.no_grad(), torch.jit.optimized_execution(False):  # its optimisations are wrong now and then
                given = torch.jit.load(str(path))(x.clone())
        except Exception as error:
            raise Outcome("TorchScript cannot run it") from error
        if distance(given, expected) > TOLERANCE:
            raise Outcome("TorchScript compiles it to something else")


class Check:
    """Compares one program; `faults` are sentences, `counts` what was done."""

    def __init__(self, tool, nodes, modules, seed):
        self.tool, self.seed = tool, seed
        source = source_of(nodes, modules)
        self.faults, self.counts = [], collections.Counter()
        self.module = built(source, seed)
        self.source = source
        torch.manual_seed(seed)
        x = torch.randn(max(BATCHES), *INPUT, dtype=torch.float64)
        self.inputs = [x[:n].clone() for n in BATCHES]
        self.path = tool.path("program.pt")
        try:
            save_script(self.module, self.inputs, self.path)
        except Outcome as outcome:
            self.counts[str(outcome)] += 1
            return
        self.counts["programs compared"] += 1
        for x in self.inputs:
            self.gradients(x)
        if seed % 4 == 0 and re.search(r"Counting|self\.(count|calls|total|moving|scale)\b", source.partition(MAIN)[2]):
            self.second_call(self.inputs[0], PREPARATIONS[seed // 4 % 2])
        found = len(self.faults)
        self.layers(self.inputs[seed % 2], PREPARATIONS[seed // 2 % 2])
        if len(self.faults) > found and not self.all_compiled(nodes, modules):
            del self.faults[found:]
            self.counts["layers of what TorchScript compiles to something else"] += 1

    def all_compiled(self, nodes, modules):
        """Whether TorchScript computes what eager Python does, also where the output does not depend on it."""
        names = {"x"}.union(*(re.findall(r"\b[av]\d+\b", node.partition(" = ")[0]) for node in nodes
                              if isinstance(node, str) and re.match(r"[av]\d+(, v\d+)? = ", node)))
        ends = " + ".join(f"self.finish({name})" for name in sorted(names))
        try:
            save_script(built(source_of(nodes[:-1] + [f"return {ends}"], modules), self.seed), self.inputs,
                        self.tool.path("whole.pt"))
        except Outcome:
            return False
        return True

    def fault(self, *words):
        self.faults.append(" ".join(map(str, words)))

    def gradients(self, x):
        raised, truth = raises(self.module, x), None
        with torch.no_grad(), by_formula():
            output = copy.deepcopy(self.module)(x.clone())
        if not raised:
            truth = eager(self.module, x)[1]
        for prepare in PREPARATIONS:
            way = f"batch {len(x)}, {prepare}:"
            try:
                ours = self.tool("gradients", self.path, x, f"prepare={prepare}")
            except ToolError as error:
                self.fault(way, error)
                continue
            self.outputs(ours, output, way)
            values = ours["values"]
            if isinstance(values, str):
                if raised:
                    self.counts["gradients that neither has"] += 1
                elif truth is None:
                    self.counts["outputs without a gradient"] += 1
                else:
                    self.fault(way, "Python differentiates it, ours throws:", values[:300])
                continue
            if raised:
                self.unknown(values, x, way)
                continue
            off = distance(values, torch.zeros_like(x) if truth is None else truth)
            self.counts["gradients compared"] += 1
            if off > TOLERANCE:
                if prepare == "fast" and truth is not None and at_a_kink(self.module, x, truth):
                    self.counts["gradients at a kink"] += 1
                else:
                    self.fault(way, f"the gradient is {off:.1e} off")

    def outputs(self, ours, truth, way):
        for name in ("output", "output with gradients"):
            if name in ours:
                off = ours[name] if isinstance(ours[name], str) else distance(ours[name], truth)
                if isinstance(off, str) or off > TOLERANCE:
                    self.fault(way, f"the {name} is off: {off if isinstance(off, str) else format(off, '.1e')}")

    def second_call(self, x, prepare):
        """What a program wrote into its buffers, its next call does not read: each begins with the module as it was."""
        if raises(self.module, x):
            return
        output, truth, _ = eager(self.module, x)
        if truth is None or at_a_kink(self.module, x, truth):
            return
        way = f"second call, {prepare}:"
        try:
            ours = self.tool("gradients", self.path, x, f"prepare={prepare}", "calls=2")
        except ToolError as error:
            self.fault(way, error)
            return
        self.counts["second calls compared"] += 1
        self.outputs(ours, output, way)
        values = ours["values"]
        if isinstance(values, str) or distance(values, truth) > TOLERANCE:
            self.fault(way, "the gradient is off:", values[:300] if isinstance(values, str) else f"{distance(values, truth):.1e}")

    def unknown(self, values, x, way):
        """Python throws in its backward pass, ours gives a gradient: it may do so if it is right."""
        if re.search("detach|no_grad|float\\(", self.source.partition(MAIN)[2]):
            self.counts["gradients that Python does not have and nothing tells"] += 1
            return
        first, second = numeric(self.module, x, 1e-5), numeric(self.module, x, 1e-6)
        if distance(first, second) > 1e-5:
            self.counts["gradients at a kink"] += 1
            return
        self.counts["gradients by differences"] += 1
        if distance(values, first) > 1e-4:
            self.fault(way, f"Python throws in its backward pass, ours gives a gradient that is {distance(values, first):.1e} off")

    def layers(self, x, prepare):
        names = [name for name, _ in self.module.named_children()]
        if not names:
            return
        if raises(self.module, x):
            return
        output, _, plain = eager(self.module, x, names)
        try:
            cut_output, _, cut = eager(self.module, x, names, cut=True)
        except RuntimeError:
            cut_output, cut = torch.full_like(output, float("nan")), {}
        if not plain:
            return
        try:
            ours = self.tool("layers", self.path, x, f"prepare={prepare}", *[f"layer={name}" for name in plain])
        except ToolError as error:
            self.fault(f"layers, batch {len(x)}, {prepare}:", error)
            return
        same = distance(cut_output, output) <= TOLERANCE  # no other name of a layer's output is written to
        for name, (activation, _) in plain.items():
            way = f"layer {name}, batch {len(x)}, {prepare}:"
            given = ours[f"{name}/activation"]
            if isinstance(given, str):
                self.fault(way, "no activation:", given[:300])
                continue
            self.counts["activations compared"] += 1
            if distance(given, activation) > TOLERANCE:
                self.fault(way, f"the activation is {distance(given, activation):.1e} off")
            given, truths = ours[f"{name}/gradient"], cut.get(name, (None, [None]))[1]
            if f"{name}/output" in ours and distance(ours[f"{name}/output"], output) > TOLERANCE:
                self.fault(way, f"beside the layer the output is {distance(ours[f'{name}/output'], output):.1e} off")
            if not same or truths[0] is None:  # it has no gradient that is its own
                continue
            if isinstance(given, str):
                self.fault(way, "no gradient:", given[:300])
                continue
            self.counts["layers' gradients compared"] += 1
            off = min(distance(given, truth) for truth in truths if truth is not None)
            if off > TOLERANCE and not (prepare == "fast" and at_a_kink(self.module, x, eager(self.module, x)[1])):
                self.fault(way, f"the gradient is {off:.1e} off")


def checked(tool, nodes, modules, seed):
    check = Check(tool, nodes, modules, seed)
    linecache.cache.pop(f"<program {seed}>", None)
    return check


def case_nodes(text):
    """The tree of a case's text: only its rendering matters."""
    lines = text.splitlines()
    indent = len(lines[1]) - len(lines[1].lstrip())
    return [lines[0]] + [line[indent:] for line in lines[1:]]


def fewer(nodes):
    """Trees with one node less, or with a block's body in place of the block."""
    for i, node in enumerate(nodes):
        yield nodes[:i] + nodes[i + 1:]
        if isinstance(node, str):
            continue
        for j, (header, body) in enumerate(node):
            yield nodes[:i] + body + nodes[i + 1:]
            for smaller in fewer(body):
                yield nodes[:i] + [node[:j] + [(header, smaller)] + node[j + 1:]] + nodes[i + 1:]


def kinds(check):
    """Its faults without what is only of this program."""
    return {re.sub(r"[-0-9.e+]+ off.*|\bm\d+\b|batch \d|none|fast|\[.*", "", fault) for fault in check.faults}


def shrunk(tool, generator, seed):
    nodes = generator.nodes
    first = kinds(checked(tool, nodes, generator.modules, seed))
    if not first:
        return nodes

    def fails(smaller):
        return bool(kinds(checked(tool, smaller, generator.modules, seed)) & first)

    if len(re.findall("self.finish", nodes[-1])) > 1:  # fewer ends
        ends = re.findall(r"self\.finish\(\w+\)", nodes[-1])
        for end in ends:
            if fails(nodes[:-1] + [f"return {end}"]):
                nodes = nodes[:-1] + [f"return {end}"]
                break
    found = True
    while found:
        found = False
        for smaller in fewer(nodes):
            try:
                if fails(smaller):
                    nodes, found = smaller, True
                    break
            except Exception:  # it does not even parse
                continue
    return nodes


def hunt(tool, first, seconds, report=print):
    """Programs from a seed on for a time; gives the counts and the faults by seed."""
    counts, faults = collections.Counter(), {}
    end, seed = time.monotonic() + seconds, first
    while time.monotonic() < end:
        generator = Generator(seed)
        check = checked(tool, generator.nodes, generator.modules, seed)
        counts += check.counts
        counts["programs"] += 1
        if check.faults:
            faults[seed] = check.faults
            report(f"seed {seed}: " + "; ".join(check.faults))
        seed += 1
    report(f"seeds {first} to {seed - 1}: " + ", ".join(f"{number} {what}" for what, number in sorted(counts.items())))
    return counts, faults


def show(tool, nodes, modules, seed):
    used = [(name, made) for name, made in modules if any(f"self.{name}(" in line or f"self.{name}," in line
                                                          for line in rendered(nodes))]
    print("\n".join(f"        self.{name} = {made}" for name, made in used) + "\n" + "\n".join(rendered(nodes)))
    check = checked(tool, nodes, modules, seed)
    print("\n".join([*check.faults, *(f"{number} {what}" for what, number in check.counts.items())]))


class Programs(unittest.TestCase):
    def setUp(self):
        self.tool = self.enterContext(ScriptTool())
        warnings.simplefilter("ignore")

    def test_known_cases(self):
        for seed, (name, text) in enumerate(CASES.items()):
            for layers_too in range(4):  # which batch and preparation the layers are compared in
                with self.subTest(name, seed=4 * seed + layers_too):
                    check = checked(self.tool, case_nodes(text), CASE_MODULES, 4 * seed + layers_too)
                    self.assertEqual(check.counts["programs compared"], 1, check.counts)
                    self.assertEqual(check.faults, [])

    def test_random_programs(self):
        counts, faults = hunt(self.tool, 0, SECONDS)
        self.assertEqual(faults, {})
        self.assertGreater(counts["programs compared"], SECONDS / 5)
        self.assertGreater(counts["programs compared"], 0.3 * counts["programs"])


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--from", dest="first", type=int)
    options.add_argument("--seconds", type=float, default=SECONDS)
    options.add_argument("--show", type=int)
    options.add_argument("--shrink", type=int)
    options, rest = options.parse_known_args()
    if (options.first, options.show, options.shrink) == (None, None, None):
        unittest.main(argv=[__file__, *rest], verbosity=2, warnings="ignore")
    warnings.simplefilter("ignore")
    with ScriptTool() as tool:
        if options.first is not None:
            raise SystemExit(bool(hunt(tool, options.first, options.seconds)[1]))
        seed = options.show if options.shrink is None else options.shrink
        generator = Generator(seed)
        nodes = generator.nodes if options.shrink is None else shrunk(tool, generator, seed)
        show(tool, nodes, generator.modules, seed)
