"""Writes a page and its plot from the results that compare.py left.

report.py RESULTS DOCS [PAGE]      DOCS/PAGE.md and DOCS/images/PAGE.svg; PAGE: performance

The same results give the same bytes. What benchmarks/notes/PAGE.md says below a heading `## QUESTION` goes below that
question's tables.
"""

import itertools
import json
import math
import pathlib
import re
import statistics
import sys

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

NETS = {"vgg16": "VGG16", "resnet50": "ResNet-50", "mobilenet_v2": "MobileNetV2"}
NOTES = pathlib.Path(__file__).with_name("notes")

# What issue 6 asks for, at most.
PREDICTED = {"vgg16": (0.62, 0.55), "resnet50": (0.62, 0.50), "mobilenet_v2": (0.55, 0.40)}  # and the stretch
GIVEN = {"vgg16": 0.87, "resnet50": 0.88, "mobilenet_v2": 0.70}
BFLOAT16 = {"vgg16": 0.35, "resnet50": 0.35, "mobilenet_v2": 0.40}
LIMIT = {"vgg16": 1.15, "resnet50": 1.4, "mobilenet_v2": 2.5}
GUIDED, COMPLETE, EQUAL_MAP, FIRST_MAP, RESIZE, VIEWS, SAMPLED = 0.55, 0.3, 0.6, 0.3, 1.0, 0.2, 1.03

FAST, BF16 = "input gradient, fast", "input gradient, fast, bfloat16"
OF_PREDICTED, OF_GIVEN = "Captum, predicted class", "Captum, target given"


# ---- figures as text -----------------------------------------------------------------------------------------


class Spread:
    """The median of what the rounds gave, and their smallest and largest."""

    def __init__(self, values):
        self.all = list(values)
        self.median = statistics.median(self.all)

    def text(self, form):
        middle, low, high = (form(v) for v in (self.median, min(self.all), max(self.all)))
        return middle if low == high else f"{middle} ({low}..{high})"


def milliseconds(seconds):
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def on(threads):
    return f"{threads} thread" + ("s" if threads > 1 else "")


def two(value):
    return f"{value:.2f}"


def table(head, rows):
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)] + [""]


def wrapped(text):
    """A paragraph in lines of at most 125 characters."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > 125:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return [*lines, ""]


VERDICTS = []


def judged(what, value, most, stretch=None):
    """The cells target and verdict; remembered for the summary."""
    met = round(value, 3) <= most
    verdict = "met" if met else "**missed**"
    if stretch is not None and round(value, 3) <= stretch:
        verdict = "met, and the stretch"
    VERDICTS.append((what, value, most, met))
    return [f"{most:g}" + (f" ({stretch:g})" if stretch is not None else ""), verdict]


# ---- the results ---------------------------------------------------------------------------------------------


class Rounds:
    def __init__(self, rounds):
        self.rounds = rounds

    def of(self, **wanted):
        return Rounds([r for r in self.rounds if all(r.get(k) == v for k, v in wanted.items())])

    def nets(self):
        return [n for n in NETS if any(r["net"] == n for r in self.rounds)]

    def threads(self):
        return sorted({r["threads"] for r in self.rounds})

    def spread(self, row, figure="seconds"):
        return Spread(r["rows"][row][figure] for r in self.rounds)

    def ratio(self, row, to):
        """Within each round, so that a slow minute slows both."""
        return Spread(r["rows"][row]["seconds"] / r["rows"][to]["seconds"] for r in self.rounds)

    def __len__(self):
        return len(self.rounds)


# ---- the questions -------------------------------------------------------------------------------------------

LATENCY = (
    ("forward", "forward pass"),
    ("forward, fast", "forward pass, `Prepare::fast`"),
    ("input gradient", "**vanilla gradient**"),
    (FAST, "**vanilla gradient, `Prepare::fast`**"),
    (BF16, "**vanilla gradient, `Prepare::fast`, bfloat16**"),
    ("input gradient by module.forward", "input gradient by LibTorch's `module.forward`"),
    ("backward into all weights", "`.backward()` into all weights, LibTorch"),
    (OF_GIVEN, "Captum Saliency, target given"),
    (OF_PREDICTED, "Captum Saliency, predicted class"),
    ("Python backward() into all weights", "`.backward()` into all weights, Python"),
)


def backward_pass(data):
    rounds = Rounds(data["rounds"])
    lines = ["## What does a vanilla gradient cost?", ""]
    lines += wrapped("""Milliseconds for one picture of 224x224, the median of the rounds (smallest..largest); in bold
        what is ours. All but "target given" find the predicted class.""")
    for threads in rounds.threads():
        some = rounds.of(threads=threads)
        count = len(some.of(net=some.nets()[0]))
        nets = some.nets()
        rows = [[label] + [some.of(net=n).spread(row).text(milliseconds) for n in nets] for row, label in LATENCY]
        lines += table([f"{on(threads)}, rounds: {count}"] + [NETS[n] for n in nets], rows)
    lines += ["Our time over Captum's, round by round:", ""]
    rows = []
    for threads, net in itertools.product(rounds.threads(), rounds.nets()):
        some = rounds.of(threads=threads, net=net)
        for row, to, what, (most, stretch) in (
            (FAST, OF_PREDICTED, "float32, predicted class", PREDICTED[net]),
            (FAST, OF_GIVEN, "float32, target given to Captum", (GIVEN[net], None)),
            (BF16, OF_PREDICTED, "bfloat16, predicted class", (BFLOAT16[net], None)),
        ):
            ratio = some.ratio(row, to)
            verdict = judged(f"{NETS[net]}, {what}, {on(threads)}", ratio.median, most, stretch)
            rows.append([str(threads), NETS[net], what, ratio.text(two), *verdict])
    return lines + table(["threads", "network", "compared", "measured", "target (stretch)", "verdict"], rows)


def limit(data):
    rounds, machine = Rounds(data["rounds"]), Rounds(data["machine"])
    lines = ["## How far is that from what the machine can do?", ""]
    lines += wrapped("""The limit is 2 x the operations of a forward pass' convolutions and linear layers (an addition
        and a product are two) over the measured rate of a float32 matrix product of 2048x2048, plus the bytes of the
        weights over the measured rate of reading 512 MB.""")
    rows = []
    for threads in machine.threads():
        some = machine.of(threads=threads)
        rates = [some.spread(f"matrix product, {t}", "rate").text(lambda v: f"{v / 1e9:.0f}") for t in ("float32", "bfloat16")]
        rows.append([str(threads), *rates, some.spread("reading memory", "rate").text(lambda v: f"{v / 1e9:.1f}")])
    lines += table(["threads", "float32, GFLOP/s", "bfloat16, GFLOP/s", "reading, GB/s"], rows)
    rows = []
    for threads, net in itertools.product(rounds.threads(), rounds.nets()):
        rates, work = machine.of(threads=threads), data["work"][net]
        computing = 2 * work["operations"] / max(rates.spread("matrix product, float32", "rate").all)
        least = computing + work["weight_bytes"] / max(rates.spread("reading memory", "rate").all)
        ours = Spread(s / least for s in rounds.of(threads=threads, net=net).spread(FAST).all)
        verdict = judged(f"{NETS[net]}, against the limit, {on(threads)}", ours.median, LIMIT[net])
        size = f"{work['operations'] / 1e9:.1f} GFLOP, {work['weight_bytes'] / 1e6:.0f} MB"
        rows.append([str(threads), NETS[net], size, milliseconds(least), ours.text(two), *verdict])
    return lines + table(["threads", "network", "forward pass", "limit, ms", "ours / limit", "target", "verdict"], rows)


def guided_grad_cam(data):
    rounds = Rounds(data["rounds"])
    lines = ["## What does Guided Grad-CAM cost?", ""]
    lines += wrapped("""Milliseconds, one thread, `Prepare::fast`, the predicted class, the last convolution. Ours is
        one forward and two backward passes; Captum's `GuidedGradCam` (bilinear) runs the network for each of its two
        parts. (Captum does not guide MobileNetV2's ReLU6.)""")
    rows = []
    for net in rounds.nets():
        some = rounds.of(net=net)
        for to, what in ((OF_PREDICTED, "predicted class"), (OF_GIVEN, "target given to Captum")):
            ratio = some.ratio("Guided Grad-CAM", to)
            verdict = judged(f"{NETS[net]}, Guided Grad-CAM, {what}", ratio.median, GUIDED)
            times = [some.spread(row).text(milliseconds) for row in ("Guided Grad-CAM", to)]
            rows.append([NETS[net], what, *times, ratio.text(two), *verdict])
    return lines + table(["network", "compared", "ours", "Captum", "ratio", "target", "verdict"], rows)


def interpolated(tries, error):
    """The seconds in which doubling steps reach this map error, between two tries by powers; none if they do not."""
    for a, b in itertools.pairwise(tries):
        if b["map_error"] < error <= a["map_error"]:
            share = math.log(error / a["map_error"]) / math.log(b["map_error"] / a["map_error"])
            return math.exp(math.log(a["seconds"]) + share * math.log(b["seconds"] / a["seconds"]))
    return None


def tolerance(data):
    lines = ["## What do Integrated Gradients cost, to a stated quality?", ""]
    lines += wrapped(f"""On {data['net']}, photos of 224x224, from black, one thread, `Prepare::fast`. Captum's n_steps
        are doubled from 8 until the completeness that it returns is within 1%: "all tries" is what that takes, "last"
        is for someone who knew the number. Map errors are L1 norms against 1024 uniform steps, relative; nobody knows
        them beforehand in Captum, so its time is that of its last try, interpolated to the very error that ours has.""")
    rows = []

    def compared(photo, goal, ours, steps, seconds, most):
        cells = [photo, goal, f"{ours['evaluations']:.0f}", steps, two(ours["seconds"])]
        if seconds is None:
            rows.append(cells + 4 * [""])
        else:
            ratio = ours["seconds"] / seconds
            rows.append([*cells, two(seconds), two(ratio), *judged(f"{photo}, {goal}", ratio, most)])

    for r in data["rounds"]:
        ours, tries = r["rows"]["completeness_1"], r["captum"]
        enough = next((i for i, t in enumerate(tries) if t["completeness"] <= 0.01), None)
        if enough is None:
            compared(r["photo"], "completeness 1%", ours, "not by 512", None, COMPLETE)
        else:
            last, total = tries[enough], sum(t["seconds"] for t in tries[: enough + 1])
            for what, seconds in (("all tries", total), ("last", last["seconds"])):
                goal = f"completeness 1%, Captum: {what}"
                compared(r["photo"], goal, ours, str(last["evaluations"]), seconds, COMPLETE)
        for row, name in (("map_5", "map error 5%"), ("map_2", "map error 2%")):
            ours = r["rows"][row]
            error = ours["true_map_error"]
            goal = f"{name} (true: {100 * error:.1f}%)"
            seconds = interpolated(tries, error)
            if seconds is None:
                compared(r["photo"], goal, ours, "not by 512", None, EQUAL_MAP)
            else:
                below = max(t["evaluations"] for t in tries if t["map_error"] >= error)
                compared(r["photo"], goal, ours, f"{below} to {2 * below}", seconds, EQUAL_MAP)
    head = ["photo", "goal", "gradients, ours", "Captum", "seconds, ours", "Captum", "ratio", "target", "verdict"]
    return lines + table(head, rows)


def sampled_methods(data):
    rounds = Rounds(data["rounds"])
    lines = ["## Do sampled methods cost more than their gradients?", ""]
    lines += wrapped("""Seconds, one thread, `Prepare::fast`: 50 vanilla gradients one by one, and the methods that take
        50; in a process as it starts, and in one that keeps its buffers as [speed](how-to/speed.md) says.""")
    rows = []
    for net, method in itertools.product(rounds.nets(), ("SmoothGrad 50", "Integrated Gradients 50")):
        some = rounds.of(net=net)
        for prefix, process in (("", "as it starts"), ("buffers kept: ", "buffers kept")):
            ratio = some.ratio(prefix + method, prefix + "50 gradients")
            times = [some.spread(prefix + row).text(two) for row in ("50 gradients", method)]
            verdict = judged(f"{NETS[net]}, {method}, {process}", ratio.median, SAMPLED)
            rows.append([NETS[net], method, process, *times, f"{ratio.median:.3f}", *verdict])
    lines += table(["network", "method", "process", "50 gradients", "method", "ratio", "target", "verdict"], rows)
    memory = data["memory"]
    rows = [[method] + [f"{memory[f'memory: {method} {count}']['peak_MB']:.0f}" for count in (10, 500)]
            for method in ("SmoothGrad", "Integrated Gradients")]  # fmt: skip
    return lines + ["Peak memory of the process, MB, MobileNetV2:", ""] + table(["method", "10 gradients", "500"], rows)


def startup(data):
    rounds = Rounds(data["rounds"])
    lines = ["## How long from starting the program to the first map?", ""]
    lines += wrapped("""Seconds of a whole process, files already in memory, one thread. `attribute` decodes a picture,
        predicts, and writes the gradient and seven pictures; the Python program imports torch and Captum, does the same
        with the same TorchScript file, and writes five pictures or none.""")
    head = ["a program linked to LibTorch that does nothing", "attribute", "attribute, fast", "Python with Captum",
            "Python with Captum, no pictures"]  # fmt: skip
    rows = [[NETS[n]] + [rounds.of(net=n).spread(row).text(two) for row in head] for n in rounds.nets()]
    lines += table(["network", "(nothing)", "`attribute`", "`--prepare fast`", "Python", "Python, no pictures"], rows)
    rows = []
    for net in rounds.nets():
        for to in head[3:]:
            ratio = rounds.of(net=net).ratio("attribute", to)
            rows.append([NETS[net], to, ratio.text(two), *judged(f"{NETS[net]}, first map, {to}", ratio.median, FIRST_MAP)])
    return lines + table(["network", "`attribute` against", "ratio", "target", "verdict"], rows)


def pictures(data):
    rounds = Rounds(data["rounds"])
    lines = ["## What do reading a photo and drawing the views cost?", ""]
    lines += wrapped("""Milliseconds, one thread. A photo of 1920x1080 to 224x224, against Pillow and torchvision; the
        [four views](methods/vanilla_gradient.md#the-four-views) of a gradient, against numpy and matplotlib, as tests/parity writes them ("as written":
        colours as floats, then to bytes) and with matplotlib's shorter way, colours straight to bytes.""")
    rows = []
    for ours, peer, most in (
        ("decode JPEG", "Pillow: decode JPEG", None),
        ("decode PNG", "Pillow: decode PNG", None),
        ("resize", "Pillow: resize", RESIZE),
        ("JPEG to tensor", "Pillow: JPEG to tensor", None),
        ("PNG to tensor", "Pillow: PNG to tensor", None),
        ("four views 224x224", "numpy: four views 224x224, as written", VIEWS),
        ("four views 224x224", "numpy: four views 224x224", VIEWS),
        ("four views 3840x2160", "numpy: four views 3840x2160, as written", VIEWS),
        ("four views 3840x2160", "numpy: four views 3840x2160", VIEWS),
    ):
        ratio = rounds.ratio(ours, peer)
        verdict = judged(peer, ratio.median, most) if most else ["", ""]
        rows.append([peer, *(rounds.spread(row).text(milliseconds) for row in (ours, peer)), ratio.text(two), *verdict])
    return lines + table(["against", "ours", "peer", "ratio", "target", "verdict"], rows)


def scaling(data):
    rounds = Rounds(data["rounds"])
    lines = ["## How do time and memory grow?", ""]
    lines += wrapped("""One thread, `Prepare::fast`. Milliseconds a picture, and in brackets the peak memory of the
        process in MB, weights and all.""")
    for kind, head in (("batch", "pictures of 224x224 in a batch"), ("pixels", "one picture of N x N")):
        rows = []
        for name in (row for row in rounds.rounds[0]["rows"] if row.startswith(kind)):
            size = int(name.split("/")[1])
            share = size if kind == "batch" else 1
            cells = []
            for net in rounds.nets():
                some = rounds.of(net=net)
                memory = some.spread(name, "peak_MB").median
                cells.append(f"{milliseconds(some.spread(name).median / share)} ({memory:.0f})")
            rows.append([str(size), *cells])
        lines += table([head] + [NETS[n] for n in rounds.nets()], rows)
    return lines


def fidelity(data):
    lines = ["## How near are the maps of a prepared model, and of bfloat16?", ""]
    lines += wrapped("""Cosine of the maps / share of the strongest 1% of pixels in common; means over two pictures, the
        class that float32 predicts. SmoothGrad and Integrated Gradients take 20 gradients.""")
    rows = []
    for net, measured in data["nets"].items():
        for method in dict.fromkeys(m["method"] for m in measured):
            found = {m["compared"]: f"{m['cosine']:.4f} / {m['overlap']:.2f}" for m in measured if m["method"] == method}
            rows.append([net, method, found["fast"], found["bfloat16"]])
    return lines + table(["network", "method", "`Prepare::fast` against none", "bfloat16 against float32"], rows)


def dataset(data):
    """Rates, with their ratio to the pure model's in each round, and to what two cores can do at all: a sample's cost on one
    core beside the model is what the plain loop takes longer than the model alone."""
    lines = ["## What does a data set cost?", ""]
    lines += wrapped("""`attribute_dataset` with vanilla gradients in batches of 8, shards of 16, raw output alone, `Prepare::fast`:
        samples a second between start-up and the last shard on the disk. The plain loop reads, computes and writes one batch
        after the other; "model alone" has its inputs in memory and writes nothing. One thread of the model leaves a core to the
        readers, and may wait for nothing. On two cores, two threads or two ranks leave none: the limit is two cores that
        are never idle, over what a sample takes of them (the model's share as measured alone, and what the plain loop with one
        thread takes longer than the model).""")
    rows, most = [], 1.03
    limited = data["machine_is"]["cores"] == 2  # with more of them the readers have cores of their own
    for net in dict.fromkeys(r["net"] for r in data["rounds"]):
        some = [r["rows"] for r in data["rounds"] if r["net"] == net]
        threads = sorted(row.split(", ")[1] for row in some[0] if row.startswith("plain loop"))
        for count in threads:
            rate = lambda row: Spread(r[row]["rate"] for r in some)  # noqa: E731
            over = Spread(r[f"model alone, {count}"]["rate"] / r[f"attribute_dataset, {count}"]["rate"] for r in some)
            verdict = judged(f"{net}, data set, {on(int(count))}", over.median, most)
            rows.append([net, f"1 rank, {on(int(count))}", *(rate(f"{what}, {count}").text(rounded) for what in
                         ("model alone", "plain loop", "attribute_dataset")), over.text(lambda v: f"{v:.3f}"), *verdict,
                         of_limit(some, count, f"attribute_dataset, {count}") if limited and int(count) > 1 else ""])  # fmt: skip
        if "attribute_dataset, 2 ranks" in some[0]:
            rows.append([net, "2 ranks, 1 thread each", "", "", rate("attribute_dataset, 2 ranks").text(rounded), "", "", "",
                         of_limit(some, "1", "attribute_dataset, 2 ranks") if limited else ""])  # fmt: skip
    lines += table(["network, pictures", "", "model alone", "plain loop", "`attribute_dataset`", "model alone over it", "target",
                    "verdict", "of the limit"], rows)  # fmt: skip
    startup = {net: Spread(r["rows"]["attribute_dataset, 1"]["startup"] for r in data["rounds"] if r["net"] == net)
               for net in dict.fromkeys(r["net"] for r in data["rounds"])}  # fmt: skip
    told = "; ".join(f"{net.split(',')[0]} {two(spread.median)} s" for net, spread in startup.items())
    few, many = (data["memory"][count] for count in ("1000", "10000"))
    return lines + wrapped(f"""Start-up of a rank (manifest, results, model) before its first sample: {told}. Peak memory with the
        scenes network: {few:.0f} MB after 1,000 samples, {many:.0f} MB after 10,000.""")


def of_limit(rounds, threads, row):
    """Of the samples that two cores could do if neither were ever idle, how many were done."""

    def share(rows):
        model = int(threads) / rows[f"model alone, {threads}"]["rate"]  # seconds of one core
        beside = 1 / rows["plain loop, 1"]["rate"] - 1 / rows["model alone, 1"]["rate"]
        return rows[row]["rate"] * (model + beside) / 2

    return Spread(share(r) for r in rounds).text(lambda v: f"{100 * v:.0f}%")


def rounded(value):
    return f"{value:.3g}"


def compile_time(data):
    lines = ["## What do the headers cost to compile?", ""]
    lines += wrapped("""Seconds of one core, g++ -O1, nothing precompiled, against the budgets of docs/architecture.md;
        of each layer the dearest headers.""")
    rows = []
    for layer in dict.fromkeys(r["layer"] for r in data["rows"]):
        some = sorted((r for r in data["rows"] if r["layer"] == layer), key=lambda r: -r["seconds"])
        over = [r for r in some if r["seconds"] > r["budget"]]
        for r in some[: max(3, len(over))]:
            verdict = judged(f"compiling {r['name']}", r["seconds"], r["budget"])
            rows.append([f"`{r['name']}`" if r["name"].endswith("pp") else r["name"], f"{r['seconds']:.1f}", *verdict])
        if len(some) > max(3, len(over)):
            rest = some[max(3, len(over)) :]
            rows.append([f"{len(rest)} more like these", f"{rest[-1]['seconds']:.1f} to {rest[0]['seconds']:.1f}",
                         f"{rest[0]['budget']:g}", "met"])  # fmt: skip
    return lines + table(["header", "seconds", "budget", "verdict"], rows)


# ---- the page ------------------------------------------------------------------------------------------------

SECTIONS = (
    ("backward_pass", "backward_pass", backward_pass),
    ("limit", "backward_pass", limit),
    ("tolerance", "tolerance", tolerance),
    ("sampled_methods", "sampled_methods", sampled_methods),
    ("guided_grad_cam", "guided_grad_cam", guided_grad_cam),
    ("startup", "startup", startup),
    ("pictures", "pictures", pictures),
    ("scaling", "scaling", scaling),
    ("fidelity", "fidelity", fidelity),
    ("dataset", "dataset", dataset),
    ("compile_time", "compile_time", compile_time),
)


def unlike(value, most):
    """The value, with a digit more where it would read as the target that it misses."""
    short = f"{value:.3g}"
    return f"{value:.4g}" if short == f"{most:g}" else short


def notes(name):
    """{question: lines} of the hand-written notes."""
    file = NOTES / f"{name}.md"
    if not file.exists():
        return {}
    parts = re.split(r"^## (\w+)\n", file.read_text(), flags=re.MULTILINE)
    return {question: [*text.strip().splitlines(), ""] for question, text in zip(parts[1::2], parts[2::2])}


def introduction(results, name):
    machine = max((r["machine_is"] for r in results.values()), key=lambda m: m["date"])
    dates = sorted({r["machine_is"]["date"] for r in results.values()})
    versions = ", ".join(f"{p} {v}" for p, v in machine["versions"].items())
    when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    written = f"<!-- Written by benchmarks/report.py; sentences of our own stand in benchmarks/notes/{name}.md. -->"
    lines = ["# How fast it is", "", written, ""]
    lines += wrapped(f"""Measured on {when} by `bash benchmarks/run.sh all`, in which our programs and the Python peers
        take turns on the same LibTorch and with the same number of threads: {machine['cpu']}, {machine['cores']} cores,
        {', '.join(machine['flags'])}; {machine['compiler']}; Python {machine['python']}; {versions}. Networks are
        torchvision's, with random weights and calibrated BatchNorm. Ratios are our time over the peer's, below 1 where
        we are faster; verdicts are those of the medians.""")
    return lines


def page(results, name):
    VERDICTS.clear()
    said, body = notes(name), []
    for question, file, write in SECTIONS:
        if file in results:
            body += write(results[file]) + said.get(question, [])
    missed = [f"{what} ({unlike(value, most)} instead of {most:g})" for what, value, most, met in VERDICTS if not met]
    summary = f"{len(VERDICTS) - len(missed)} of {len(VERDICTS)} targets are met."
    if missed:
        summary += f" Missed: {'; '.join(missed)}."
    picture = []
    if "backward_pass" in results:
        picture = [f"![Our time over Captum's, and the targets](images/{name}.svg)", ""]
    text = introduction(results, name) + said.get("introduction", []) + picture + wrapped(summary) + body
    return "\n".join(text).rstrip() + "\n"


def plot(results, path):
    rounds = Rounds(results["backward_pass"]["rounds"]).of(threads=1)
    guided = Rounds(results["guided_grad_cam"]["rounds"]) if "guided_grad_cam" in results else Rounds([])
    groups = [
        ("vanilla gradient, float32", "#3b6fb6", lambda n: (rounds.of(net=n).ratio(FAST, OF_PREDICTED), PREDICTED[n][0])),
        ("the same, target given to Captum", "#7b9fcf", lambda n: (rounds.of(net=n).ratio(FAST, OF_GIVEN), GIVEN[n])),
        ("vanilla gradient, bfloat16", "#d9822b", lambda n: (rounds.of(net=n).ratio(BF16, OF_PREDICTED), BFLOAT16[n])),
        ("Guided Grad-CAM, float32", "#5a9e6f", lambda n: (guided.of(net=n).ratio("Guided Grad-CAM", OF_PREDICTED), GUIDED)),
    ]
    if not len(guided):
        groups.pop()
    matplotlib.rcParams.update({"svg.hashsalt": "salience", "svg.fonttype": "none", "font.family": "sans-serif"})
    nets = [n for n in rounds.nets() if not len(guided) or n in guided.nets()]
    figure, axes = pyplot.subplots(figsize=(8, 1.0 + 1.15 * len(nets)), layout="constrained")
    height = 0.8 / len(groups)
    for g, (label, color, measure) in enumerate(groups):
        for i, net in enumerate(nets):
            ratio, target = measure(net)
            y = i + (g - (len(groups) - 1) / 2) * height
            error = [[ratio.median - min(ratio.all)], [max(ratio.all) - ratio.median]]
            axes.barh(y, ratio.median, 0.86 * height, color=color, xerr=error, label=label if i == 0 else None,
                      error_kw={"elinewidth": 1, "ecolor": "#333333"})  # fmt: skip
            axes.plot([target, target], [y - height / 2, y + height / 2], color="black", linewidth=2,
                      label="target (at most)" if i == 0 and g == len(groups) - 1 else None)  # fmt: skip
            axes.text(0.01, y, two(ratio.median), va="center", fontsize=8, color="white")
    axes.axvline(1.0, color="#888888", linestyle=":")
    axes.set_yticks(range(len(nets)), [NETS[n] for n in nets])
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.05, axes.get_xlim()[1]))
    axes.set_xlabel("our time / Captum's, one thread (1: as fast as Captum)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    lines = (line.rstrip() for line in path.read_text().splitlines())
    path.write_text("\n".join(lines) + "\n")
    pyplot.close(figure)


def main(folder, docs, name="performance"):
    results = {p.stem: json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))}
    if not results:
        raise SystemExit(f"no results in {folder}: run bash benchmarks/run.sh all")
    (docs / f"{name}.md").write_text(page(results, name))
    print(f"wrote {docs / name}.md")
    if "backward_pass" in results:
        plot(results, docs / "images" / f"{name}.svg")
        print(f"wrote {docs / 'images' / name}.svg")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), *sys.argv[3:])
