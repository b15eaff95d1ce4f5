"""What the parity tests share: the programs under test, and torchvision beside this wheel of torch."""

import atexit
import itertools
import os
import pathlib
import select
import signal
import subprocess
import tempfile
import unittest

import torch
from PIL import Image

# PyPI's torchvision looks for two operators that this wheel of torch does not bring.
_library = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchvision  # noqa: E402, F401

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EXAMPLES = pathlib.Path(os.environ["SALIENCE_EXAMPLE_DATA"])
SHARED = pathlib.Path(os.environ.get("SALIENCE_SHARED_DATA") or "/nonexistent")

PREPARATIONS = ("none", "fast")
# Every comparison runs in each of these ways. How far ours may then be off the peer's float64, as the relative L2 distance
# (see `relative`), prepared or not:
TOLERANCE = {
    # Preparation multiplies weights beforehand and adds in another order, which rounds by 1e-16 each time. Measured: unprepared
    # gradients 0, prepared ones at most 2e-14, maps of formulas that cancel digits 5e-12.
    "float64": 1e-9,
    # A ReLU whose input rounds to the other side of zero lets through, or holds back, all that comes by it: a folded BatchNorm
    # moves a gradient by up to 2e-2, and Python's own is as far off its float64. Without such a ReLU it is 1e-6.
    "float32": 5e-2,
}
WAYS = list(itertools.product(PREPARATIONS, TOLERANCE))

needs_shared = unittest.skipUnless(SHARED.is_dir(), "the photos and the ImageNet model are not beside the project")


def program(variable):
    """The path of a program that the build names in the environment."""
    return os.environ[variable]


def attribute_alone(*arguments):
    """Runs the program of the main job; gives its finished process."""
    command = [program("SALIENCE_ATTRIBUTE"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=300)


class AttributeServer:
    """The program of the main job with LibTorch loaded once for all calls: see attribute_server.cpp."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen([program("SALIENCE_ATTRIBUTE_SERVER")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, start_new_session=True)

    def __call__(self, *arguments):
        """As attribute_alone."""
        files = [pathlib.Path(self.folder.name) / name for name in ("stdout", "stderr")]
        self.process.stdin.write("\t".join(map(str, [*files, *arguments])) + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], 300)[0]:
            self.close()
            raise subprocess.TimeoutExpired(["attribute", *map(str, arguments)], 300)
        status = int(self.process.stdout.readline())
        stdout, stderr = (path.read_text(errors="replace") for path in files)
        return subprocess.CompletedProcess(["attribute", *map(str, arguments)], status, stdout, stderr)

    def close(self):
        """Kills it and the call that may be under way, and removes its files."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()
        self.folder.cleanup()


_server = None


def attribute(*arguments):
    """As attribute_alone, by an AttributeServer where the build names one."""
    global _server
    if "SALIENCE_ATTRIBUTE_SERVER" not in os.environ:
        return attribute_alone(*arguments)
    if not _server:
        _server = AttributeServer()
        atexit.register(_server.close)
    return _server(*arguments)


def weighted(output):
    """The score of script_tool: cos 1, cos 2 ... times a row's outputs."""
    rows = output.flatten(1) if output.dim() > 1 else output[:, None]
    return rows.matmul(torch.arange(1, rows.size(1) + 1, dtype=torch.float64).cos().to(rows.dtype))


class ToolError(Exception):
    """What the program threw, or how it ended."""


class ScriptTool:
    """The program script_tool, kept running on one thread; see there for its commands. A context."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.process = None
        return self

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.communicate()
        self.process = None

    def path(self, name):
        return pathlib.Path(self.folder.name) / name

    def __call__(self, command, model, x, *options, timeout=120):
        """The results by name; a message (str) in place of a tensor where a method threw. `model` is a file's path or a
        ScriptModule, `x` the input. Throws ToolError for what the whole command threw, for a crash and after `timeout` s."""
        if not isinstance(model, (str, pathlib.Path)):
            model.save(str(self.path("model.pt")))
            model = self.path("model.pt")
        torch.save(x, self.path("input.pt"))
        if not self.process:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            self.process = subprocess.Popen([program("SALIENCE_SCRIPT_TOOL")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.DEVNULL, text=True, errors="replace", env=environment)
        words = [command, model, self.path("input.pt"), self.path("out.pt"), *options]
        self.process.stdin.write("\t".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            self.stop()
            raise ToolError(f"no answer to {command} in {timeout} s")
        answer = self.process.stdout.readline().rstrip("\n")
        if not answer:
            status = self.process.wait()
            self.stop()
            raise ToolError(f"the program ended with status {status}")
        if answer != "ok":
            raise ToolError(answer.removeprefix("error "))
        return dict(torch.load(self.path("out.pt")))


def relative(a, b):
    """The relative L2 distance of a from the truth b."""
    return float((a.double() - b.double()).norm() / b.double().norm())


def likeness(a, b):
    """The cosine of two maps (1,C,H,W), and the share that their strongest 1% of pixels have in common."""
    a, b = a[0].double(), b[0].double()
    strongest = [set(map.abs().sum(0).flatten().topk(map[0].numel() // 100).indices.tolist()) for map in (a, b)]
    return float(torch.cosine_similarity(a.flatten(), b.flatten(), 0)), len(set.intersection(*strongest)) / len(strongest[0])


def photos():
    return sorted(SHARED.glob("images/*"))


def lossless(photo, folder):
    """The photo's pixels as Pillow decodes them; decoders differ on JPEG."""
    path = pathlib.Path(folder) / (photo.stem + ".png")
    Image.open(photo).convert("RGB").save(path)
    return path


def scenes():
    return sorted(p for p in EXAMPLES.glob("scene_*.png") if not p.stem.endswith("_mask"))
