"""Answers the benchmarks' questions beside the Python peers, and leaves the figures in WORK/results/QUESTION.json.

compare.py [--rounds N] [--models NAME,NAME] --build BUILD --work WORK [--shared SHARED] QUESTION...

Rounds alternate between our programs and the peers, so that a machine that slows down slows both. A round's figure is the
median of its repetitions; what is compared later is one round's with the same round's.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
import warnings

import compile_time
import torch
from captum.attr import GuidedGradCam, IntegratedGradients, Saliency
from first_map import four_views
from nets import LAST_CONVOLUTION, MEAN, NETS, STD, interpreted, load, picture, to_input
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
ROUNDS = {"backward_pass": 4, "guided_grad_cam": 3, "sampled_methods": 2, "scaling": 1, "pictures": 3, "startup": 4,
          "tolerance": 1, "fidelity": 1, "dataset": 3, "compile_time": 1}  # fmt: skip
LEAST_SECONDS = 0.2  # of one repetition
KEEPS_BUFFERS = {  # what docs/how-to/speed.md has a program's own main do
    "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=1073741824"}  # fmt: skip


# ---- running things ------------------------------------------------------------------------------------------


def run(command, threads, environment=None):
    """What the command prints."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": str(threads)} | (environment or {}))  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def ours(program, *arguments, threads=1, only="", repetitions=2, environment=None):
    """{row: {"seconds": ..., counter: ...}} of a program with Google Benchmark; medians of the repetitions."""
    out = SETTING.work / f"rows_{os.getpid()}.json"
    options = [f"--benchmark_out={out}", "--benchmark_out_format=json", f"--benchmark_min_time={LEAST_SECONDS}",
               f"--benchmark_repetitions={repetitions}", f"--benchmark_filter={only or '.*'}"]  # fmt: skip
    command = [SETTING.build / "benchmarks" / program, *arguments, *options]
    run(command, threads, environment)
    if not out.stat().st_size:
        raise SystemExit(f"{program} has no row {only}: is the build up to date?")
    units = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
    told = ("rate", "peak_MB", "evaluations", "completeness", "map_error", "converged")
    rows = {}
    measured = json.loads(out.read_text())["benchmarks"]
    out.unlink()
    for row in measured:
        if row.get("run_type", "iteration") != "iteration":
            continue
        if row.get("error_occurred"):
            raise SystemExit(f"{program}: {row['name']}: {row['error_message']}")
        figures = {"seconds": row["real_time"] * units[row["time_unit"]]} | {k: row[k] for k in told if k in row}
        name = row["run_name"].removesuffix("/real_time")
        for key, value in figures.items():
            rows.setdefault(name, {}).setdefault(key, []).append(value)
    return {name: {key: statistics.median(values) for key, values in row.items()} for name, row in rows.items()}


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peer(work, repetitions=2):
    """As Google Benchmark does it: after one run that is not counted, repetitions of at least LEAST_SECONDS."""
    work()
    means = []
    for _ in range(repetitions):
        count, start = 0, time.perf_counter()
        while count == 0 or time.perf_counter() - start < LEAST_SECONDS:
            work()
            count += 1
        means.append((time.perf_counter() - start) / count)
    return {"seconds": statistics.median(means)}


def say(question, *what):
    print(f"{datetime.datetime.now():%H:%M:%S} {question}:", *what, flush=True)


def net_file(name):
    return SETTING.work / "models" / f"{name}.pt"


def rounds(question):
    return range(min(ROUNDS[question], SETTING.rounds or ROUNDS[question]))


def drawn(number, size=224):
    """A picture of our own, as a file."""
    path = SETTING.work / "pictures" / f"drawn_{number}.png"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(100 + number, size, size).save(path)
    return path


def photos():
    """Real photos where there are some, without loss at the network's size; else pictures of our own."""
    found = sorted(SETTING.shared.glob("images/*")) if SETTING.shared else []
    if not found:
        return [drawn(0), drawn(1)]
    folder = SETTING.work / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for photo in found:
        path = folder / f"{photo.stem}.png"
        if not path.exists():
            Image.open(photo).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR).save(path)
    return [folder / f"{photo.stem}.png" for photo in found]


def trained():
    """MobileNetV2 as trained on ImageNet, where it is there; else our own with random weights."""
    path = SETTING.shared / "models" / "mobilenet_v2.pt" if SETTING.shared else None
    return path if path and path.exists() else net_file("mobilenet_v2")


# ---- the questions -------------------------------------------------------------------------------------------


def work_of(net):
    """Operations of a forward pass' convolutions and linear layers (an addition and a product are two), bytes of weights."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        total += 2 * output.numel() * (module.weight.numel() // module.weight.shape[0])

    layers = [m for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        net(torch.zeros(1, 3, 224, 224))
    for hook in hooks:
        hook.remove()
    return {"operations": total, "weight_bytes": sum(4 * layer.weight.numel() for layer in layers)}


def backward_into_weights(net, x):
    leaf = x.clone().requires_grad_(True)
    net(leaf).max(1).values.sum().backward()
    net.zero_grad(set_to_none=True)
    return leaf.grad


def predicted(net, x):
    with torch.no_grad():
        return net(x).argmax(1)


def backward_pass():
    nets = {name: load(net_file(name)) for name in SETTING.models}
    result = {"work": {name: work_of(net) for name, net in nets.items()}, "rounds": [], "machine": []}
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    for number in rounds("backward_pass"):
        for threads in SETTING.threads:
            torch.set_num_threads(threads)
            result["machine"].append({"threads": threads, "rows": ours("limit", threads=threads)})
            for name, net in nets.items():
                say("backward_pass", f"round {number + 1},", f"{threads} threads,", name)
                rows = ours("backward_pass", net_file(name), threads=threads)
                saliency, target = Saliency(net), predicted(net, x)

                def attribute(target):
                    return saliency.attribute(x.clone(), target=target, abs=False)  # noqa: B023

                peers = {
                    "Captum, target given": lambda: attribute(target),  # noqa: B023
                    "Captum, predicted class": lambda: attribute(predicted(net, x)),  # noqa: B023
                    "Python backward() into all weights": lambda: backward_into_weights(net, x),  # noqa: B023
                }
                rows |= {row: peer(work) for row, work in peers.items()}
                result["rounds"].append({"net": name, "threads": threads, "rows": rows})
    return result


def guided_grad_cam():
    result = []
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    nets = {name: load(net_file(name)) for name in SETTING.models}
    for net in nets.values():
        for module in net.modules():
            if isinstance(module, torch.nn.ReLU):
                module.inplace = False  # Captum's hooks cannot have it
    torch.set_num_threads(1)
    for number in rounds("guided_grad_cam"):
        for name, net in nets.items():
            say("guided_grad_cam", f"round {number + 1},", name)
            rows = ours("guided_grad_cam", net_file(name))
            method = GuidedGradCam(net, net.get_submodule(LAST_CONVOLUTION[name]))
            target = predicted(net, x)

            def attribute(target):
                return method.attribute(x.clone(), target=target, interpolate_mode="bilinear")  # noqa: B023

            rows["Captum, target given"] = peer(lambda: attribute(target))  # noqa: B023
            rows["Captum, predicted class"] = peer(lambda: attribute(predicted(net, x)))  # noqa: B023
            result.append({"net": name, "threads": 1, "rows": rows})
    return {"rounds": result}


def sampled_methods():
    result = []
    for number in rounds("sampled_methods"):
        for name in SETTING.models:
            if name == "vgg16" and number > 0:
                continue  # half a minute a row
            say("sampled_methods", f"round {number + 1},", name)
            rows = {}
            for prefix, environment in (("", {}), ("buffers kept: ", KEEPS_BUFFERS)):
                some = ours("sampled_methods", net_file(name), only="^50|^Smooth|^Integrated", repetitions=1,
                            environment=environment)  # fmt: skip
                rows |= {prefix + row: figures for row, figures in some.items()}
            result.append({"net": name, "threads": 1, "rows": rows})
    memory = {}
    for method in ("SmoothGrad", "Integrated Gradients"):
        for count in (10, 500):
            row = f"memory: {method} {count}"
            say("sampled_methods", row)
            memory |= ours("sampled_methods", net_file("mobilenet_v2"), only=f"^{row}/", repetitions=1)
    return {"rounds": result, "memory": memory}


def scaling():
    result = []
    for number in rounds("scaling"):
        for name in SETTING.models:
            say("scaling", f"round {number + 1},", name)
            rows = {}
            for only in ("batch", "pixels"):  # each in a process of its own, from small to large
                rows |= ours("scaling", net_file(name), only=only, repetitions=1)
            result.append({"net": name, "threads": 1, "rows": rows})
    return {"rounds": result}


def pictures():
    photo = picture(0, 1080, 1920)
    files = {"JPEG": SETTING.work / "photo.jpg", "PNG": SETTING.work / "photo.png"}
    photo.save(files["JPEG"], quality=92)
    photo.save(files["PNG"])
    decoded = Image.open(files["JPEG"]).convert("RGB")
    raws = {size: torch.randn(3, size[1], size[0]).numpy() for size in ((224, 224), (3840, 2160))}
    torch.set_num_threads(1)
    result = []
    for number in rounds("pictures"):
        say("pictures", f"round {number + 1}")
        rows = ours("pictures", files["JPEG"], files["PNG"])
        for kind, path in files.items():
            rows[f"Pillow: decode {kind}"] = peer(lambda: Image.open(path).convert("RGB"))  # noqa: B023
            rows[f"Pillow: {kind} to tensor"] = peer(lambda: to_input(Image.open(path)))  # noqa: B023
        rows["Pillow: resize"] = peer(lambda: decoded.resize((224, 224), Image.Resampling.BILINEAR))
        for (width, height), raw in raws.items():
            name = f"numpy: four views {width}x{height}"
            rows[name] = peer(lambda: four_views(raw))  # noqa: B023
            rows[f"{name}, as written"] = peer(lambda: four_views(raw, tuned=False))  # noqa: B023
        result.append({"net": "", "threads": 1, "rows": rows})
    return {"rounds": result}


def startup():
    image, out = drawn(0), SETTING.work / "first_map"
    attribute = [SETTING.build / "examples" / "attribute" / "attribute", "--image", image, "--output", out]
    python = [sys.executable, HERE / "first_map.py"]
    commands = {
        "a program linked to LibTorch that does nothing": lambda model: [SETTING.build / "benchmarks" / "limit", "--help"],
        "attribute": lambda model: [*attribute, "--model", model],
        "attribute, fast": lambda model: [*attribute, "--model", model, "--prepare", "fast"],
        "Python with Captum": lambda model: [*python, model, image, out],
        "Python with Captum, no pictures": lambda model: [*python, model, image, out, "--map-only"],
    }
    result = []
    for name in SETTING.models:
        for command in commands.values():
            run(command(net_file(name)), 1)  # brings the files into memory
        for number in rounds("startup"):
            say("startup", f"round {number + 1},", name)
            rows = {}
            for row, command in commands.items():
                rows[row] = {"seconds": timed(lambda: run(command(net_file(name)), 1))}  # noqa: B023
            result.append({"net": name, "threads": 1, "rows": rows})
    return {"rounds": result}


def tolerance():
    """Ours to a tolerance; Captum's by doubling n_steps. Maps are judged by that of 1024 uniform steps."""
    own = trained() == net_file("mobilenet_v2")
    net, folder = load(trained()) if own else interpreted(trained()), SETTING.work / "maps"
    folder.mkdir(parents=True, exist_ok=True)
    black = (-torch.tensor(MEAN) / torch.tensor(STD))[None, :, None, None].expand(1, 3, 224, 224).contiguous()
    method = IntegratedGradients(net)
    result = []
    chosen = photos()[: SETTING.photos]
    truths = {}
    for path in chosen:
        kept = folder / f"{path.stem}.{'own' if own else 'trained'}.pt"
        if not kept.exists():
            say("tolerance", "the true map of", path.name)
            ours("tolerance", trained(), folder, path, only="truth", threads=SETTING.threads[-1], repetitions=1)
            (folder / f"{path.stem}.truth.pt").rename(kept)
        truths[path] = torch.load(kept)
    torch.set_num_threads(1)
    for number in rounds("tolerance"):
        for path in chosen:
            say("tolerance", f"round {number + 1},", path.name)
            x, truth = to_input(Image.open(path)), truths[path]

            def error(values):
                return float((values - truth).abs().sum() / truth.abs().sum())  # noqa: B023

            rows = {}
            for row, figures in ours("tolerance", trained(), folder, path, only="completeness|both|map",
                                     repetitions=1).items():
                goal = row.split(".")[-1]
                rows[goal] = figures | {"true_map_error": error(torch.load(folder / f"{path.stem}.{goal}.pt"))}
            target = predicted(net, x)
            with torch.no_grad():
                change = float((net(x) - net(black))[0, target])
            steps, tries = 8, []
            while steps <= 512:
                start = time.perf_counter()
                values, delta = method.attribute(x, black, target=target, n_steps=steps, return_convergence_delta=True,
                                                 internal_batch_size=16)  # fmt: skip
                seconds = time.perf_counter() - start
                tries.append({"evaluations": steps, "seconds": seconds, "completeness": abs(float(delta) / change),
                              "map_error": error(values.detach())})  # fmt: skip
                if min(t["completeness"] for t in tries) <= 0.01 and min(t["map_error"] for t in tries) <= 0.02:
                    break
                steps *= 2
            result.append({"photo": path.stem, "threads": 1, "rows": rows, "captum": tries})
    return {"rounds": result, "net": "MobileNetV2 with random weights" if own else "a MobileNetV2 trained on ImageNet"}


def fidelity():
    files = {NETS[name] + ", random weights": net_file(name) for name in SETTING.models}
    if trained() != net_file("mobilenet_v2"):
        files["MobileNetV2, trained"] = trained()
    result = {}
    for label, path in files.items():
        say("fidelity", label)
        seen = photos()[:2]
        command = [SETTING.build / "benchmarks" / "fidelity", path, *seen]
        lines = [line.split() for line in run(command, SETTING.threads[-1]).splitlines()[1:]]
        result[label] = [{"method": m, "compared": c, "cosine": float(a), "overlap": float(b)} for m, c, a, b in lines]
    return {"nets": result}


def dataset():
    """Samples a second of attribute_dataset, of the loop that one writes first, and of the model alone."""
    folder = (SETTING.work / "dataset").resolve()
    folder.mkdir(exist_ok=True)
    settings = []
    for net, file, size, count in (("MobileNetV2, photos 1280x720", net_file("mobilenet_v2"), 224, 720),
                                   ("ResNet-50, photos 1280x720", net_file("resnet50"), 224, 160),
                                   ("scenes, 96x96", HERE.parent / "examples/data/scenes.pt", 96, 4800)):  # fmt: skip
        paths = []
        for i in range(24):
            path = folder / f"{size}_{i}.{'jpg' if size > 96 else 'png'}"
            image = picture(i, 720, 1280) if size > 96 else picture(i, 96, 96)
            image.save(path, **({"quality": 90} if size > 96 else {}))
            paths.append(str(path))
        manifest = folder / f"{net.split(',')[0]}.txt"
        manifest.write_text("\n".join((paths * count)[:count]) + "\n")
        settings.append((net, file, size, manifest))

    program = SETTING.build / "programs/attribute_dataset/attribute_dataset"
    out = folder / "out"

    def ours(file, size, manifest, threads, ranks=1):
        shutil.rmtree(out, ignore_errors=True)
        mpi = ["mpirun", "--allow-run-as-root", "--bind-to", "none", "-n", ranks] if ranks > 1 else []
        told = run([*mpi, program, "--model", file, "--size", f"{size}x{size}", "--manifest", manifest, "--threads", threads,
                    "--prepare", "fast", "--shard", 16, "--output", out], threads)  # fmt: skip
        rate, start = (float(re.search(pattern, told)[1]) for pattern in (r"\(([0-9.e+-]+)/s\)", r"start-up ([0-9.e+-]+) s"))
        return {"rate": rate, "startup": start}

    def plain(file, size, manifest, threads, *more):
        return {"rate": float(run([SETTING.build / "benchmarks/plain_loop", file, manifest, size, folder / "plain", "--threads",
                                   threads, "--fast", *more], threads))}  # fmt: skip

    result = []
    for number in rounds("dataset"):
        for net, *what in settings:
            say("dataset", f"round {number + 1},", net)
            rows = {}
            for threads in SETTING.threads:
                rows[f"model alone, {threads}"] = plain(*what, threads, "--model-only")
                rows[f"plain loop, {threads}"] = plain(*what, threads)
                rows[f"attribute_dataset, {threads}"] = ours(*what, threads)
            if len(SETTING.threads) > 1 and shutil.which("mpirun"):
                rows["attribute_dataset, 2 ranks"] = ours(*what, 1, ranks=2)
            result.append({"net": net, "threads": 0, "rows": rows})

    memory = {}
    for count in (1000, 10000):
        say("dataset", f"memory: {count} samples")
        manifest = folder / "many.txt"
        manifest.write_text(f"{folder / '96_0.png'}\n" * count)
        shutil.rmtree(out, ignore_errors=True)
        process = subprocess.Popen([program, "--model", settings[-1][1], "--size", "96x96", "--manifest", manifest, "--threads",
                                    "1", "--output", out], stdout=subprocess.DEVNULL)  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"attribute_dataset failed on {count} samples")
        memory[str(count)] = used.ru_maxrss / 1024
    shutil.rmtree(out)
    return {"rounds": result, "memory": memory}


def compile_times():
    return {"rows": compile_time.measure(str(SETTING.build), SETTING.headers)}


QUESTIONS = {"backward_pass": backward_pass, "guided_grad_cam": guided_grad_cam, "tolerance": tolerance,
             "sampled_methods": sampled_methods, "startup": startup, "pictures": pictures, "scaling": scaling,
             "fidelity": fidelity, "dataset": dataset, "compile_time": compile_times}  # fmt: skip


# ---- the machine ---------------------------------------------------------------------------------------------


def machine():
    told = subprocess.run(["lscpu"], capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"}).stdout
    lscpu = dict(re.findall(r"^([^:]+):\s*(.*)$", told, re.MULTILINE))
    flags = lscpu.get("Flags", "").split()
    compiler = subprocess.run([os.environ.get("CXX", "g++"), "--version"], capture_output=True, text=True).stdout
    packages = ("torch", "torchvision", "captum", "pillow", "numpy", "matplotlib")
    return {
        "cpu": lscpu.get("Model name", platform.machine()),
        "cores": os.cpu_count(),
        "l3": lscpu.get("L3 cache", lscpu.get("L3", "")),
        "flags": [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in flags],
        "compiler": compiler.splitlines()[0] if compiler else "",
        "versions": {p: importlib.metadata.version(p) for p in packages},
        "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="+", choices=[*QUESTIONS, "all"], metavar="QUESTION")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="where benchmarks and examples were built")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="models, pictures and results are kept here")
    parser.add_argument("--shared", type=pathlib.Path, help="a folder with images/ and models/mobilenet_v2.pt, if there")
    parser.add_argument("--rounds", type=int, help="at most this many of each question")
    parser.add_argument("--models", type=lambda text: text.split(","), default=list(NETS))
    parser.add_argument("--photos", type=int, default=2, help="of the question tolerance")
    parser.add_argument("--headers", nargs="*", default=(), help="of compile_time: only those with this in the name")
    setting = parser.parse_args()
    if setting.shared and not setting.shared.is_dir():
        setting.shared = None
    setting.threads = [1, 2] if (os.cpu_count() or 1) > 1 else [1]
    if "all" in setting.questions:
        setting.questions = list(QUESTIONS)
    return setting


def main():
    results = SETTING.work / "results"
    results.mkdir(parents=True, exist_ok=True)
    for question in SETTING.questions:
        start = time.perf_counter()
        answer = {"machine_is": machine()} | QUESTIONS[question]()
        answer["took"] = time.perf_counter() - start
        (results / f"{question}.json").write_text(json.dumps(answer, indent=1) + "\n")
        say(question, f"{answer['took']:.0f} s")


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="captum")
    SETTING = arguments()
    main()
