"""What the benchmarks share in Python: torchvision beside this wheel of torch, its networks, and pictures to look at."""

import pathlib

import numpy
import torch
from PIL import Image

# PyPI's torchvision looks for two operators that the CPU wheel of torch does not bring.
_library = torch.library.Library("torchvision", "DEF")
for _name in ("nms", "qnms"):
    _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchvision  # noqa: E402
from torchvision import transforms  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NETS = {"vgg16": "VGG16", "resnet50": "ResNet-50", "mobilenet_v2": "MobileNetV2"}
LAST_CONVOLUTION = {"vgg16": "features.28", "resnet50": "layer4.2.conv3", "mobilenet_v2": "features.18.0"}


def picture(seed, height, width):
    """An RGB picture with the spectrum of a photo: as much contrast in each octave."""
    random = numpy.random.default_rng(seed)
    total = numpy.zeros((height, width, 3))
    cells = 2
    while cells <= max(height, width):
        grid = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=numpy.uint8))
        total += numpy.asarray(grid.resize((width, height), Image.Resampling.BICUBIC), dtype=numpy.float64)
        cells *= 2
    total -= total.min(axis=(0, 1))
    return Image.fromarray((255 * total / total.max(axis=(0, 1))).astype(numpy.uint8))


def to_input(image, size=224):
    """The (1,3,size,size) tensor of ImageNet's networks."""
    steps = [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    return transforms.Compose(steps)(image.convert("RGB")).unsqueeze(0)


def build(name, seed=0):
    """The network with random weights, its BatchNorm statistics those of some pictures."""
    torch.manual_seed(seed)
    net = getattr(torchvision.models, name)(weights=None)
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    if norms:
        for norm in norms:
            norm.momentum = None  # the mean over the batches
        net.train()
        with torch.no_grad():
            for batch in range(3):
                net(torch.cat([to_input(picture(8 * batch + i, 224, 224)) for i in range(8)]))
    return net.eval()


def load(path):
    """Python's own network with the weights of a TorchScript file that was exported from it."""
    net = getattr(torchvision.models, pathlib.Path(path).stem)(weights=None)
    net.load_state_dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    return net.eval()


def interpreted(path):
    """A TorchScript file of another origin, each operator run as Python would, past the profiling executor."""
    script = torch.jit.load(str(path)).eval()

    def run(x):
        with torch.jit.optimized_execution(False):
            return script(x)

    return run
