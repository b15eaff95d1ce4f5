"""Methods at layers and neurons, and of models with several inputs, against Captum on the eager model, in float64.

Each model goes into files of all kinds that torch makes of it: traced, scripted and exported. For all of them the same is asked
in one run of cut_tool, unprepared and prepared, in chunks of several sizes. Python's default type is float64 here, and so are
Captum's nodes and weights.
"""

import inspect
import itertools
import json
import pathlib
import random
import subprocess
import tempfile
import time
import unittest
import unittest.mock

import torch
from captum import attr
from captum.testing.helpers import basic_models as basic
from networks import InTurn, network, twin_of
from peers import PREPARATIONS, program
from torch import nn

torch.set_default_dtype(torch.float64)

# The largest difference of a value, relative to the largest value. Measured: 3e-14 unprepared, 5e-14 prepared.
BOUND = 1e-8
ROWS = 3
CHUNKS = (0, 1, 2)


def tensors(values):
    """What Captum gives for one or several layers and inputs, as one tuple."""
    if isinstance(values, torch.Tensor):
        return (values.detach(),)
    return tuple(tensor for value in values for tensor in tensors(value))


def in_float64(method, *arguments, **options):
    """What an integral of Captum's gives if it does not round its weights to float32."""
    with unittest.mock.patch.object(torch.Tensor, "float", lambda tensor: tensor):
        return method.attribute(*arguments, **options)


def off(ours, truth):
    return float((ours - truth).abs().max() / truth.abs().max().clamp_min(1e-300))


def random_weights(model):
    """Captum's own are ones: many values would be the same whatever is confused."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model.eval()


class Network:
    """A model, its files, and what is asked of it: `explained` are the inputs, `bound` is what follows them. `twin` is what Captum
    takes: see networks.twin_of. Of a layer `relu#1` this has the module that `twin_layers` says."""

    def __init__(self, name, model, folder, explained, bound=(), target=0, baseline=None, twin=None, twin_layers=None,
                 slow=False):
        self.name, self.model, self.target, self.bound, self.explained = name, model, target, bound, explained
        self.baseline = baseline or tuple(torch.randn_like(x) for x in explained)
        self.twin, self.twin_layers, self.folder = twin or model, twin_layers or {}, folder
        self.slow, self.steps = slow, 2 if slow else 5
        self.files = self.written(model)
        self.more = {"additional_forward_args": bound} if bound else {}

    @property
    def inputs(self):
        """Copies: Captum leaves requires_grad set on what it is given, which changes what it gives the next time."""
        return tuple(x.clone() for x in self.explained)

    def written(self, model):
        every, files, refused = (*self.inputs, *self.bound), {}, {}
        makers = {"traced": self.traced, "scripted": lambda model, _: torch.jit.script(model), "exported": self.exported}
        if not self.slow:
            makers["exported for two rows"] = self.exported_for_two
        for kind, make in makers.items():
            path = self.folder / f"{self.name}, {kind}.pt{2 if 'exported' in kind else ''}"
            assert not path.exists(), path
            try:
                made = make(model, every)
            except Exception as error:
                refused[kind] = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
                continue
            torch.export.save(made, path) if "exported" in kind else made.save(str(path))
            files[kind] = str(path)
        for kind, reason in refused.items():
            print(f"{self.name} is not {kind}: {reason}")
        return files

    def traced(self, model, every):
        return torch.jit.trace(model, every, check_trace=False)

    def exported(self, model, every):
        rows = {0: torch.export.Dim("batch")}
        batch = [rows if isinstance(one, torch.Tensor) else [None] * len(one) if isinstance(one, list) else None for one in every]
        return torch.export.export(model, every, dynamic_shapes=tuple(batch))

    def exported_for_two(self, model, every):
        return torch.export.export(model, tuple(one[:2] if isinstance(one, torch.Tensor) else one for one in every))

    def layer(self, point):
        """The twin's module for the layer of a point."""
        name = point.partition("[")[0].removesuffix(":input")
        return self.twin.get_submodule(self.twin_layers.get(name, name))

    def activation(self, point):
        """What a layer gives, or takes."""
        layer = attr.LayerActivation(self.twin, self.layer(point))
        return tensors(layer.attribute(self.inputs, attribute_to_layer_input=point.endswith(":input"), **self.more))

    def conductance(self, point, steps):
        """As layer_conductance.hpp defines it, by autograd."""
        of_input, kept = point.endswith(":input"), {}

        def run(inputs, instead=None):
            def hook(_, taken, given=None):
                kept["value"] = value = taken[0] if of_input else given
                if instead is not None:
                    return (instead, *taken[1:]) if of_input else instead
                return (value,) if of_input and len(taken) == 1 else None

            layer = self.layer(point)
            handle = layer.register_forward_pre_hook(hook) if of_input else layer.register_forward_hook(hook)
            output = self.twin(*inputs, *self.bound)
            handle.remove()
            return output, kept["value"].detach()

        total, last = 0, None
        for k in range(steps + 1):
            point_on_line = [b + k / steps * (x - b) for x, b in zip(self.inputs, self.baseline)]
            value = run(point_on_line)[1]
            if k > 0:
                middle = ((last[1] + value) / 2).requires_grad_()
                output, _ = run([(p + q) / 2 for p, q in zip(last[0], point_on_line)], middle)
                gradient, = torch.autograd.grad(scores(output, self.target).sum(), middle)
                total = total + gradient * (value - last[1])
            last = point_on_line, value
        return total


def scores(output, target):
    return output.flatten() if target is None else output[(slice(None), *(target if isinstance(target, tuple) else (target,)))]


class Questions:
    """What the tool is asked, and the truth."""

    def __init__(self, folder):
        self.folder, self.requests, self.truth, self.method, self.chance = folder, [], {}, {}, random.Random(0)

    def file(self, values):
        path = self.folder / f"tensors {len(list(self.folder.glob('tensors *')))}.pt"
        torch.save(tuple(values), path)
        return str(path)

    def ask(self, network, method, truth, chunks=(0,), **request):
        """The same of all files of the network in all ways; of a network that takes long in ways that are drawn."""
        request |= {"method": method, "inputs": self.file(network.inputs), "target": request.get("target", network.target)}
        if "baseline" in request:
            request["baseline"] = self.file(request["baseline"])
        names = list(inspect.signature(network.model.forward).parameters)
        bound = [{"name": name, "value": {"tensors": self.file([value])} if isinstance(value, torch.Tensor) else value}
                 for name, value in zip(names[len(network.inputs):], network.bound)]
        if len(network.inputs) > 1:
            request["explain"] = [{"name": name, "sizes": list(x.shape[1:])} for name, x in zip(names, network.inputs)]
        place = "; ".join(f"{key} {request[key]}" for key in ("layer", "from", "until") if key in request)
        ways = list(itertools.product(network.files.items(), PREPARATIONS, chunks))
        if network.slow:
            ways = self.chance.sample(ways, 1 if len(chunks) > 1 else 2)
        for (kind, path), prepare, chunk in ways:
            name = f"{network.name}, {kind}, {prepare}, {method}, {place}, chunk {chunk}"
            assert name not in self.truth, name
            # torch.export makes what is no tensor a part of the program.
            binds = [one for one in bound if "exported" not in kind or isinstance(one["value"], dict)]
            self.requests.append({**request, "name": name, "model": path, "prepare": prepare, "chunk": chunk, "bind": binds})
            self.truth[name], self.method[name] = tensors(truth), f"{method}{', prepared' if prepare == 'fast' else ''}"

    def at_input(self, network):
        """Methods of the whole model."""
        b, how = network.baseline, {"target": network.target, **network.more}
        self.ask(network, "vanilla", attr.Saliency(network.twin).attribute(network.inputs, abs=False, **how))
        self.ask(network, "input_x_gradient", attr.InputXGradient(network.twin).attribute(network.inputs, **how))
        ig = in_float64(attr.IntegratedGradients(network.twin), network.inputs, b, n_steps=network.steps, **how)
        self.ask(network, "integrated_gradients", ig, CHUNKS, baseline=b, steps=network.steps)

    def at_layer(self, network, points):
        """Methods at a layer, at the tuple that it gives or takes, or at several layers."""
        of_input = points[0].endswith(":input")
        layers = list(dict.fromkeys(network.layer(point) for point in points))
        layer = layers[0] if len(layers) == 1 else layers
        b = network.baseline
        how = {"target": network.target, "attribute_to_layer_input": of_input, **network.more}
        asked = {"from": points}
        gradient, product = (
            tensors(attr.LayerGradientXActivation(network.twin, layer, multiply_by_inputs=multiply).attribute(
                network.inputs, **how)) for multiply in (False, True))
        self.ask(network, "vanilla", gradient, **asked)
        self.ask(network, "input_x_gradient", product, **asked)
        ig = in_float64(attr.LayerIntegratedGradients(network.twin, layer), network.inputs, b, n_steps=network.steps, **how)
        self.ask(network, "integrated_gradients", ig, CHUNKS, baseline=b, steps=network.steps, **asked)
        if len(points) > 1:
            return
        point, = points
        named = ":" not in point and "#" not in point  # what the methods know that give the model a layer's name
        activation, = network.activation(point)
        self.ask(network, "output", activation, until=points)
        if not network.explained[0].is_floating_point():
            return  # no line leads from token to token, and methods at layers that are named take no tokens
        asked = {"layer": point, "baseline": b, "steps": network.steps, "chunks": CHUNKS}
        self.ask(network, "layer_conductance", network.conductance(point, network.steps), **asked)
        if named:
            influence = in_float64(attr.InternalInfluence(network.twin, layer), network.inputs, b, n_steps=network.steps, **how)
            self.ask(network, "internal_influence", influence, **asked)
            self.ask(network, "layer_activation", activation, layer=point)
            self.ask(network, "layer_gradient", gradient, layer=point)
            self.ask(network, "layer_grad_x_activation", product, layer=point)

    def at_neuron(self, network, point, guided=True):
        """Methods of the neuron that the first sample activates most."""
        activation, layer, b = network.activation(point)[0], network.layer(point), network.baseline
        neuron = tuple(int(i) for i in torch.unravel_index(activation[0].argmax(), activation.shape[1:]))
        how = {"attribute_to_neuron_input": point.endswith(":input"), **network.more}
        asked = {"until": [point], "target": neuron}
        self.ask(network, "vanilla", attr.NeuronGradient(network.twin, layer).attribute(network.inputs, neuron, **how), **asked)
        ig = in_float64(attr.NeuronIntegratedGradients(network.twin, layer), network.inputs, neuron, baselines=b,
                        n_steps=network.steps, **how)
        self.ask(network, "integrated_gradients", ig, CHUNKS, baseline=b, steps=network.steps, **asked)
        if guided:
            for method, name in (("guided_backprop", "NeuronGuidedBackprop"), ("deconvnet", "NeuronDeconvolution")):
                captum = getattr(attr, name)(network.twin, layer)
                self.ask(network, method, captum.attribute(network.inputs, neuron, **how), **asked)

    def answers(self):
        (self.folder / "requests.json").write_text(json.dumps(self.requests))
        done = subprocess.run([program("SALIENCE_CUT_TOOL"), self.folder / "requests.json", self.folder / "answers.pt"],
                              capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise AssertionError(f"the program ended with status {done.returncode}: {done.stderr}")
        return dict(torch.load(self.folder / "answers.pt"))


class Cut(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.questions = Questions(self.folder)

    def network(self, name, model, explained, *more, **how):
        return Network(name, model, self.folder, explained, *more, **how)

    def compare(self):
        """Asks all, and prints the largest differences by method."""
        began = time.monotonic()
        answers, worst = self.questions.answers(), {}
        self.assertEqual(set(answers), set(self.questions.truth))
        for name, truth in self.questions.truth.items():
            ours = answers[name]
            with self.subTest(name):
                self.assertNotIsInstance(ours, str, ours)
                self.assertEqual([one.shape for one in ours], [one.shape for one in truth])
                self.assertTrue(any(one.any() for one in truth), "the truth is zero, and shows nothing")
                error = max(off(*pair) for pair in zip(ours, truth))
                method = self.questions.method[name]
                worst[method] = max(worst.get(method, 0), error)
                self.assertLess(error, BOUND)
        print(f"{self.id().rpartition('.')[2]}: {len(answers)} answers in {time.monotonic() - began:.1f} s,",
              ", ".join(f"{method} {error:.0e}" for method, error in worst.items()))


class Unrolled(nn.Module):
    """BasicModelWithReusedLinear with a module of its own for each use."""

    def __init__(self, model):
        super().__init__()
        self.first, self.second, self.relu = nn.Sequential(model.lin1), nn.Sequential(model.lin1), InTurn(2)

    def forward(self, x):
        return self.relu(self.second(self.relu(self.first(x))))


class CaptumsModels(Cut):
    """The models of Captum's own tests, with random weights."""

    def small(self, name, inputs, *more, made_with=(), label="", **how):
        """Of an input that is a shape, random values."""
        model = random_weights(getattr(basic, name)(*made_with))
        inputs = tuple(one if isinstance(one, torch.Tensor) else 2 * torch.randn(ROWS, *one) for one in inputs)
        return self.network(name + label, model, inputs, *more, **how)

    def layers(self, net, *places, neurons=(), guided=()):
        """Methods at places, each a point or several, and at neurons."""
        for place in places:
            self.questions.at_layer(net, [place] if isinstance(place, str) else list(place))
        for point in (*neurons, *guided):
            self.questions.at_neuron(net, point, guided=point in guided)

    def test_without_layers(self):
        self.questions.at_input(self.small("BasicModel", [(5,)], target=2))
        for name in ("BasicModel2", "BasicModel3"):  # large and small inputs: behind a ReLU that is 0 there is nothing to see
            self.questions.at_input(self.small(name, [torch.rand(ROWS, 4) + 3, torch.rand(ROWS, 4)], target=1))
        self.questions.at_input(self.small("BasicModel6_MultiTensor", [(3,), (3,)], target=None))
        self.compare()

    def test_layers(self):
        net = self.small("BasicModel_MultiLayer", [(3,)], target=1)
        self.questions.at_input(net)
        self.layers(net, "linear0", "linear1", "relu", "linear2", "linear0:input", "linear1:input", "relu:input", "linear2:input",
                    neurons=["linear1", "relu:input"], guided=["relu", "linear2", "linear2:input"])
        net = self.small("SimpleLRPModel", [(3,)], made_with=[False], target=(0,))
        self.layers(net, "linear", "relu:input", "linear2", "dropout", neurons=["linear"], guided=["dropout"])
        net = self.small("LinearMaxPoolLinearModel", [(4,)], target=(0,))
        self.layers(net, "lin1", "pool1", "lin2:input", neurons=["pool1"])
        net = self.small("BasicModel_MaxPool_ReLU", [(4, 9)], target=2)
        self.layers(net, "maxpool", "relu", "relu:input", guided=["relu"])
        self.compare()

    def test_convolutions(self):
        net = self.small("BasicModel_ConvNet", [(1, 10, 10)], target=3)
        self.questions.at_input(net)
        self.layers(net, "conv1", "relu1:input", "pool1", "conv2", "conv2:input", "pool2", "fc1", "softmax:input",
                    neurons=["conv1"], guided=["pool1", "conv2", "conv2:input", "fc1:input"])
        for name, shape in (("BasicModel_ConvNet_MaxPool1d", (1, 10)), ("BasicModel_ConvNet_MaxPool3d", (1, 10, 10, 10))):
            net = self.small(name, [shape], target=3)
            self.layers(net, "conv1", "pool1", "conv2:input", guided=["conv2"])
        net = self.small("BasicModel_ConvNetWithPaddingDilation", [(1, 6, 6)], target=3)
        self.layers(net, "conv1", "relu1", "fc1", guided=["fc1"])
        self.compare()

    def test_what_a_layer_takes_and_gives_as_a_tuple_and_layers_in_parallel(self):
        net = self.small("BasicModel_MultiLayer", [(3,)], made_with=[False, True], target=1)
        self.layers(net, ["multi_relu[0]", "multi_relu[1]"], ["multi_relu:input", "multi_relu:input[1]"],
                    ["linear1", "linear1_alt"], ["linear1:input", "linear1_alt:input"], neurons=["linear1_alt"], guided=["linear2"])
        net = self.small("ReLULinearModel", [(3,), (3,)], target=(0,))
        self.questions.at_input(net)
        self.layers(net, "l1", "l2:input", "relu", ["l1", "l2"], guided=["relu", "l3:input"])
        self.compare()

    def test_several_inputs(self):
        net = self.small("BasicLinearModel", [(4,), (3,)], target=(0,))
        self.questions.at_input(net)
        self.layers(net, "linear", "linear:input", neurons=["linear"])
        net = self.small("BasicModel_MultiLayer_MultiInput", [(3,), (3,), (3,)], (3,), target=1)
        self.questions.at_input(net)
        self.layers(net, "model.linear1", "model.relu", "model.linear1:input", neurons=["model.linear0"], guided=["model.linear2"])
        net = self.small("BasicModel_MultiLayer_TrueMultiInput", [(3,), (3,), (3,)], target=1)
        self.questions.at_input(net)
        self.layers(net, "m1.relu", "m234.model.linear1", ["m1.linear2", "m234.model.linear2"], "m1.linear1:input",
                    neurons=["m234.model.linear1"], guided=["m234.model.linear2"])
        self.compare()

    def test_further_arguments(self):
        pair = [torch.rand(ROWS, 4) + 3, torch.rand(ROWS, 4)]
        for name in ("BasicModel2", "BasicModel3"):
            self.questions.at_input(self.small(name, pair[:1], (pair[1],), target=1))
        net = self.small("BasicModel_MultiLayer", [(3,)], (torch.randn(ROWS, 3),), target=1)
        self.layers(net, "linear1", "relu:input", neurons=["linear0"], guided=["linear2"])
        self.compare()

    def test_arguments_that_are_no_tensors(self):
        pair = [torch.rand(ROWS, 4) + 3, torch.rand(ROWS, 4)]
        self.questions.at_input(self.small("BasicModel4_MultiArgs", pair, (torch.rand(ROWS, 1) + 1, 2), target=None))
        self.questions.at_input(self.small("BasicModel5_MultiArgs", pair, ([3, 1], 2), target=None))
        self.questions.at_input(self.small("ReLULinearModel", [(3,), (3,)], (4,), target=(0,)))
        net = self.small("BasicModel_MultiLayer", [(3,)], (torch.randn(ROWS, 3), True), target=(1, 0, 1))
        self.questions.at_input(net)
        self.layers(net, "linear1", "relu", "linear2:input", neurons=["linear0"], guided=["linear2"])
        self.compare()

    def test_tokens(self):
        tokens = [torch.randint(30, (ROWS, 6)) for _ in range(6)]
        for explained in (3, 1):
            net = self.small("BasicEmbeddingModel", tokens[:explained], tuple(tokens[explained:3]), made_with=(30, 10, 12, 1, True),
                             target=(0,), baseline=tuple(tokens[3:3 + explained]), label=f" of {explained}")
            self.layers(net, "embedding1", "linear1:input", "relu")
            if explained == 3:
                self.layers(net, "embedding2", "embedding2.inner_embedding", "embedding2.inner_embedding2",
                            ["embedding1", "embedding2"], ["embedding1", "embedding2.inner_embedding"])
        self.compare()

    def test_layers_that_are_used_twice(self):
        model = random_weights(basic.BasicModelWithReusedModules())
        twin = twin_of(model)
        twin.relu = InTurn(2)
        uses = {"relu#0": "relu.relus.0", "relu#1": "relu.relus.1", "relu": "relu.relus.1"}
        net = self.network("BasicModelWithReusedModules", model, (2 * torch.randn(ROWS, 3),), twin=twin, twin_layers=uses)
        self.layers(net, "relu#0", "relu#1", "relu", "relu#0:input", "relu#1:input", guided=["relu#0", "relu#1", "relu"])
        model = random_weights(basic.BasicModelWithReusedLinear())
        uses = {"lin1#0": "first", "lin1#1": "second", "lin1": "second"}
        net = self.network("BasicModelWithReusedLinear", model, (2 * torch.randn(ROWS, 3),), twin=Unrolled(model), twin_layers=uses)
        self.layers(net, "lin1#0", "lin1#1", "lin1", "lin1#0:input", "lin1#1:input", neurons=["lin1#0"], guided=["lin1#1", "lin1"])
        self.compare()

    def test_gradient_shap_where_the_gradient_is_the_same_everywhere(self):
        for name, layer, neuron in (("BasicLinearModel_Multilayer", "linear1", 2), ("BasicModel_MultiLayer", "linear2", 1)):
            net = self.small(name, [(3,)], made_with=[3, 4, 5] if neuron == 2 else [], target=neuron)
            b = torch.randn(1, 3)
            truth = attr.LayerGradientShap(net.twin, net.layer(layer)).attribute(net.inputs, b, target=neuron)
            self.questions.ask(net, "layer_gradient_shap", truth, CHUNKS, layer=layer, baseline=[b])
            if neuron == 2:
                truth = attr.GradientShap(net.twin).attribute(net.inputs, b, target=neuron)
                self.questions.ask(net, "gradient_shap", truth, CHUNKS, baseline=[b])
        self.compare()

    def test_captums_conductance_comes_as_near_as_its_sum_on_the_left_allows(self):
        net = self.small("BasicModel_ConvNet", [(1, 10, 10)], target=3)
        with torch.no_grad():
            for parameter in net.twin.parameters():
                parameter.mul_(0.5)
        truth, captum = net.conductance("conv1", 2048), attr.LayerConductance(net.twin, net.layer("conv1"))
        theirs = {n: off(captum.attribute(net.inputs, net.baseline, target=3, n_steps=n), truth) for n in (32, 512)}
        print("Captum's conductance is off by", ", ".join(f"{error:.0e} in {n} steps" for n, error in theirs.items()))
        self.assertLess(theirs[512], theirs[32] / 4)

    def test_what_a_layer_takes_is_replaced_for_that_layer_alone(self):
        net = self.small("BasicModel_MultiLayer", [(3,)], made_with=[False, True], target=1)
        model, layer, x = net.twin, net.twin.linear1_alt, net.inputs[0]
        taken = net.inputs[0].requires_grad_()
        output = model.linear2(model.linear1(model.linear0(x)).relu() + layer(taken).relu())
        truth, = torch.autograd.grad(output[:, 1].sum(), taken)
        self.questions.ask(net, "vanilla", truth, **{"from": ["linear1_alt:input"]})
        captum = attr.LayerGradientXActivation(model, layer, multiply_by_inputs=False)
        theirs = [captum.attribute(one, target=1, attribute_to_layer_input=True) for one in (net.inputs[0], taken)]
        print("Captum's gradient at what a layer takes and another reads, off by", f"{off(theirs[0], truth):.0e}, where the input "
              f"requires a gradient already {off(theirs[1], truth):.0e}")
        self.assertEqual(off(theirs[0], truth), 0)
        self.assertGreater(off(theirs[1], truth), 0.1)
        self.compare()


class Mixed(nn.Module):
    def forward(self, a, b, c):
        return b.exp() * 2, b - a, a.sin()


class OfMixed(nn.Module):
    """A layer that uses its second argument first and its third not at all, and of which the first result is not used."""

    def __init__(self):
        super().__init__()
        self.mixed, self.relu = Mixed(), nn.ReLU()

    def forward(self, x):
        _, difference, sine = self.mixed(x.cos(), x.sin(), x)
        return self.relu(sine) * difference


class Positions(Cut):
    def test_a_file_that_was_traced_or_exported_has_the_places_that_are_used(self):
        """In the order in which they are: neither kind of file says which were Python's."""
        net = self.network("OfMixed", OfMixed(), (torch.randn(ROWS, 4),))
        files, x = dict(net.files), net.inputs[0]
        a, b, (double, difference, sine) = x.cos(), x.sin(), Mixed()(x.cos(), x.sin(), x)
        for kind, taken, given in (("scripted", [a, b, x], [double, difference, sine]), ("traced", [b, a], [sine, difference]),
                                   ("exported", [b, a], [difference, sine])):
            net.files = {kind: files[kind]}
            for i, value in enumerate(taken):
                self.questions.ask(net, "output", value, until=[f"mixed:input[{i}]"])
            self.questions.ask(net, "output", taken[0], until=["mixed:input"])
            for i, value in enumerate(given):
                self.questions.ask(net, "output", value, until=[f"mixed[{i}]"])
        self.compare()


class Networks(Cut):
    """Networks of torchvision with random weights."""

    def big(self, name, uses):
        model = network(name).double()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        model.train()(torch.randn(4, 3, 64, 64))  # without statistics of its own inputs a network hardly looks at them
        return self.network(name, model.eval(), (torch.randn(ROWS, 3, 64, 64),), target=3, twin=twin_of(model), twin_layers=uses,
                            slow=True)

    def test_resnet18(self):
        uses = {f"layer{i}.{j}.relu{use}": f"layer{i}.{j}.relu.relus.{use[1:] or 1}" for i in range(1, 5) for j in range(2)
                for use in ("", "#0", "#1")}
        net = self.big("resnet18", uses)
        for place in ("layer1.0.relu#0", "layer2.0.bn1", "layer2.0.conv2:input", "layer2.0", "layer4"):
            self.questions.at_layer(net, [place])
        self.questions.at_layer(net, ["layer2.0.conv2", "layer2.0.downsample.0"])
        for place in ("layer2.0.bn1", "layer2.0.conv2:input"):
            self.questions.at_neuron(net, place)
        self.compare()

    def test_mobilenet_v2(self):
        net = self.big("mobilenet_v2", {})
        for place in ("features.3.conv.1", "features.3.conv.1.0:input", "features.18.1"):
            self.questions.at_layer(net, [place])
        for place in ("features.3.conv.1", "features.4.conv.2:input"):
            self.questions.at_neuron(net, place)
        self.compare()


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
