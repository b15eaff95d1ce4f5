"""Many architectures, each in the many ways that must agree: Python's own faults too show here.

    python test_architectures.py                               SALIENCE_SECONDS (60) of the networks in SHORT
    python test_architectures.py --all --report TABLE.md       all networks, and what was measured as a table
    python test_architectures.py --names timm:levit_128s       only these
    python test_architectures.py --all --log FILE              keeps results in FILE and goes on where it ends

A network treats the rows of a batch on their own. So truth is eager Python's gradient in float64 for a batch of three, and
every row has it in every way: alone, in a batch of two or three, contiguous or with interleaved channels, prepared or not;
SmoothGrad with one noisy copy at a time or two; guided backpropagation where there are rectifiers and Grad-CAM where there
is a grid, for which the unprepared batch of three is the truth. Parity with Python cannot tell this: LibTorch's own gradient
is wrong for some layouts of a batch of one.

float64 may be FLOAT64 off, by the L2 norm of a row. In float32 a ReLU or a maximum whose inputs round to the other side moves a
gradient by up to some percent, and Python's own is as far off. Such a flip meets one row and not another. So of the three
rows the best may be FLOAT32 off, the worst TOLERANCE["float32"], and both ten times the worst of what Python is off (in a batch
of three, of two, interleaved) where that is more.
"""

import collections
import copy
import os
import time
import unittest
import warnings

import sweeps
import torch
from peers import PREPARATIONS, TOLERANCE, ScriptTool, ToolError, relative, weighted
from torch import nn
from torchvision import models

try:
    import timm
except ImportError:
    timm = None

FLOAT64, FLOAT32 = 1e-8, 1e-3
SECONDS = float(os.environ.get("SALIENCE_SECONDS") or 60)
FEWEST = 10  # of SHORT, however slow the machine is
CLASSES = 10
KINDS = ["traced", "scripted"]
SIZES = (64, 96, 128, 224, 240, 256, 384)
LARGEST = 70e6  # parameters

TORCHVISION = """
    alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5
    mobilenet_v2 mobilenet_v3_small mobilenet_v3_large regnet_x_400mf regnet_y_400mf resnet18 resnet50 resnext50_32x4d
    wide_resnet50_2 shufflenet_v2_x0_5 squeezenet1_0 squeezenet1_1 swin_t swin_v2_t vgg11 vgg11_bn vit_b_16
""".split()
SEGMENTATION = ["fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]
VIDEO = ["r3d_18", "mc3_18"]
# the smallest of each of timm's modules, and a second one where the module holds different designs
TIMM = """
    botnet26t_256 halonet26t lambda_resnet26t bat_resnext26ts gernet_s mobileone_s0 repvgg_a0 regnetz_b16 gcresnext26ts
    cait_xxs24_224 coat_lite_tiny coat_tiny convit_tiny convmixer_768_32 convnext_atto convnextv2_atto convnext_zepto_rms
    cpubone_nano crossvit_tiny_240 csatv2 cs3darknet_focus_s cspresnext50 sedarknet21 cspnext_tiny davit_tiny
    deit_tiny_patch16_224 deit_tiny_distilled_patch16_224 deit3_small_patch16_224 densenet121 densenetblur121d dla46_c
    dla60_res2net dpn48b edgenext_xx_small efficientformer_l1 efficientformerv2_s0 efficientnet_lite0 efficientnet_b0_gn
    efficientnet_cc_b0_4e mixnet_s mnasnet_small tinynet_e spnasnet_100 fbnetc_100 efficientvim_m1 efficientvit_b0
    efficientvit_l1 efficientvit_m0 eva02_tiny_patch14_224 vit_small_patch16_rope_224 fasternet_t0 fastvit_t8
    focalnet_tiny_srf gcvit_xxtiny ghostnet_050 ghostnetv2_100 ghostnetv3_050 hardcorenas_a hgnetv2_b0 hgnet_tiny
    hiera_tiny_224 hieradet_small hrnet_w18_small iformer_t inception_next_atto inception_resnet_v2 inception_v3 inception_v4
    lcnetv2_small levit_128s levit_conv_128s levit_256d lowformer_b0 mambaout_femto coatnet_pico_rw_224 coatnet_nano_cc_224
    maxvit_pico_rw_256 coatnet_bn_0_rw_224 caformer_s18 convformer_s18 poolformer_s12 poolformerv2_s12 gmixer_12_224
    gmlp_ti16_224 mixer_s32_224 resmlp_12_224 fbnetv3_b lcnet_035 mobilenetv3_small_050 mobilenetv4_conv_small_035
    mobilenetv4_hybrid_medium_075 tf_mobilenetv3_small_minimal_100 mobilevit_xxs mobilevitv2_050 mvitv2_tiny nest_tiny
    nextvit_small eca_nfnet_l0 nf_regnet_b0 nf_resnet26 pit_ti_224 pvt_v2_b0 pvt_v2_b2_li rdnet_tiny regnetx_002 regnety_002
    regnetz_005 regnetv_040 repghostnet_050 repvit_m0_9 res2net50_14w_8s resnest14d resnet10t resnet18d resnetblur18
    resnet50_gn ecaresnet26t seresnet18 skresnet18 resnetv2_18 resnetv2_50d_frn resnetv2_50x1_bit rexnet_100 rexnetr_100
    selecsls42 legacy_seresnet18 sequencer2d_s shvit_s1 starnet_s050 swiftformer_xs swin_tiny_patch4_window7_224
    swin_s3_tiny_224 swinv2_tiny_window8_256 swinv2_cr_tiny_224 tiny_vit_5m_224 tnt_s_patch16_224 tresnet_m twins_svt_small
    twins_pcpvt_small visformer_tiny flexivit_small vit_tiny_patch16_224 test_vit4 vit_tiny_r_s16_p8_224
    vit_relpos_small_patch16_224 vit_srelpos_small_patch16_224 vitamin_small_224 volo_d1_224 ese_vovnet19b_slim
    ese_vovnet19b_dw legacy_xception xception41p xcit_nano_12_p16_224
""".split()


def convolutions(norm, act, end=None):
    """A small network of a kind; `end` is what makes the logits of the last features."""
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), norm(8), act(), nn.Conv2d(8, 16, 3, 2, 1), norm(16), act(),
                         nn.Conv2d(16, 16, 3, 1, 1), *(end or [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES)]))


class Tokens(nn.Module):
    """Positions become tokens, behind a normalisation: there LibTorch's gradient of a batch of one is wrong."""

    def __init__(self, norm):
        super().__init__()
        self.convolution, self.norm, self.head = nn.Conv2d(3, 16, 4, 4), norm(16), nn.Linear(16, CLASSES)

    def forward(self, x):
        x = self.norm(nn.functional.gelu(self.convolution(x)))  # GELU: else Grad-CAM's weights are 0 by instance_norm
        return self.head(x.flatten(2).transpose(1, 2)).square().mean(1)


def instance_norm(channels):
    return nn.InstanceNorm2d(channels, affine=True)


OWN = {
    "instance_norm": lambda: convolutions(instance_norm, nn.SiLU),
    "instance_norm_alone": lambda: convolutions(instance_norm, nn.Identity),
    "instance_norm_gelu": lambda: convolutions(instance_norm, nn.GELU),
    "instance_norm_elu": lambda: convolutions(instance_norm, lambda: nn.ELU(inplace=True)),
    "instance_norm_relu": lambda: convolutions(instance_norm, lambda: nn.ReLU(inplace=True)),
    "group_norm": lambda: convolutions(lambda channels: nn.GroupNorm(4, channels), nn.Hardswish),
    "batch_norm_prelu": lambda: convolutions(nn.BatchNorm2d, nn.PReLU),
    "tokens_batch_norm": lambda: Tokens(nn.BatchNorm2d),
    "tokens_instance_norm": lambda: Tokens(instance_norm),
}
SHORT = """
    own:tokens_batch_norm own:tokens_instance_norm own:instance_norm own:instance_norm_elu timm:levit_128s
    torchvision:resnet18 torchvision:mobilenet_v2 timm:vit_tiny_patch16_224 timm:convnext_atto torchvision:mobilenet_v3_small
    timm:efficientformer_l1 torchvision:squeezenet1_1 torchvision:swin_t timm:repvgg_a0 timm:mobilevit_xxs
    timm:resnest14d segmentation:lraspp_mobilenet_v3_large timm:ghostnet_050 timm:coatnet_pico_rw_224 video:mc3_18
    timm:gmlp_ti16_224 timm:xcit_nano_12_p16_224 timm:resnetv2_50x1_bit
""".split()
ALL = [*(f"own:{name}" for name in OWN), *(f"torchvision:{name}" for name in TORCHVISION),
       *(f"segmentation:{name}" for name in SEGMENTATION), *(f"video:{name}" for name in VIDEO), *(f"timm:{name}" for name in TIMM)]


class MeanMaps(nn.Module):
    """A segmentation network's maps as logits."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)["out"].mean([2, 3])


def made(name, size):
    """The network with its initial weights for pictures of that size; raises if it is made for others."""
    source, _, name = name.partition(":")
    if source == "own":
        return OWN[name]()
    if source == "segmentation":
        return MeanMaps(getattr(models.segmentation, name)(weights=None, weights_backbone=None, num_classes=CLASSES))
    if source == "video":
        return getattr(models.video, name)(num_classes=CLASSES)
    if source == "torchvision":
        if name == "vit_b_16":  # its layers, narrower
            return models.VisionTransformer(size, 16, 12, 3, 192, 768, num_classes=CLASSES)
        if name == "maxvit_t" and size != 224:
            raise ValueError("made for 224")
        extra = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
        model = getattr(models, name)(num_classes=CLASSES, **extra)
        if name.startswith("vgg"):  # a narrow head, which makes the file small
            model.classifier[0], model.classifier[3] = nn.Linear(25088, 64), nn.Linear(64, 64)
            model.classifier[6] = nn.Linear(64, CLASSES)
        if name == "alexnet":
            model.classifier[1], model.classifier[4] = nn.Linear(9216, 64), nn.Linear(64, 64)
            model.classifier[6] = nn.Linear(64, CLASSES)
        return model
    try:
        return timm.create_model(name, num_classes=CLASSES, img_size=size)
    except TypeError:
        return timm.create_model(name, num_classes=CLASSES)


def enliven(model, x):
    """Random weights where the initial ones hide something (zeros, layer scales of 1e-6, ones), and statistics of BatchNorm
    that are neither 0 and 1 nor those of the input."""
    with torch.no_grad():
        for parameter in model.parameters():
            largest = float(parameter.abs().max()) if parameter.numel() else 1.0
            if parameter.dim() >= 2 and parameter.numel() > parameter.size(0) and largest == 0:
                parameter.normal_(std=0.1)  # a head or a table of positions
            elif largest <= 1e-3 or (parameter.numel() > 1 and parameter.std() == 0 and largest != 1):
                parameter.uniform_(-0.5, 0.5) if largest == 0 else parameter.uniform_(0.3, 0.9)
            elif parameter.numel() > 1 and parameter.std() == 0:
                parameter.uniform_(0.7, 1.4)
        norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
                 and module.running_mean is not None]
        model.eval()
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.train()
            norm.momentum = 1.0
        model(x)
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
            norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
            norm.running_var.clamp_(min=1e-4).mul_(torch.empty_like(norm.running_var).uniform_(0.6, 1.7))
    model.eval()


def network(name):
    """The network in float32, and three inputs."""
    errors = []
    for size in SIZES if not name.startswith("video") else (48,):
        shape = (3, 4, size, size) if name.startswith("video") else (3, size, size)
        try:
            torch.manual_seed(0)
            model = made(name, size)
            enliven(model, torch.randn(8, *shape))
            x = torch.randn(3, *shape)
            with torch.no_grad():
                model(x[:1])
            break
        except Exception as error:
            errors.append(f"{size}: {error}")
    else:
        raise RuntimeError("; ".join(errors))
    if sum(parameter.numel() for parameter in model.parameters()) > LARGEST:
        raise RuntimeError("too many parameters")
    return model, x


def gradient(model, x):
    leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
    return torch.autograd.grad(weighted(model(leaf)).sum(), leaf)[0]


def interleaved(x):
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def rows_off(ours, truth):
    """The distance of each row, the smallest first; a row whose truth is zero counts by itself."""
    if not isinstance(ours, torch.Tensor) or ours.shape != truth.shape or not ours.isfinite().all():
        return [float("inf")]
    return sorted(relative(a, b) if b.any() else float(a.norm()) for a, b in zip(ours, truth))


def worst_off(ours, truth):
    return rows_off(ours, truth)[-1]


def script_of(model, kind, x):
    if kind == "scripted":
        return torch.jit.script(copy.deepcopy(model))
    return torch.jit.trace(model, x[:2], check_trace=False)


class Network:
    """What was measured on one: `worst` by way, and `faults` as sentences."""

    def __init__(self, tool, name, kinds, one_kind):
        self.name, self.tool = name, tool
        self.worst, self.faults, self.kinds, self.refused = collections.defaultdict(float), [], [], []
        started = time.monotonic()
        model, x = network(name)
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.size = "x".join(map(str, x.shape[2:]))
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        double, x64 = copy.deepcopy(model).double(), x.double()
        self.truth = gradient(double, x64)
        if not self.truth.isfinite().all() or not all(row.any() for row in self.truth):
            raise RuntimeError("its gradient is zero or not finite")
        self.worst["Python, float64, batch of 1"] = worst_off(torch.cat([gradient(double, row[None]) for row in x64]), self.truth)
        self.spread = max(worst_off(gradient(model, x), self.truth), worst_off(gradient(model, x[:2]), self.truth[:2]),
                          worst_off(gradient(model, interleaved(x)), self.truth))
        self.worst["Python, float32"] = self.spread
        for kind in kinds:
            if not (one_kind and self.kinds):
                self.compare(kind, double, x64, model, x)
        if not self.kinds:
            raise RuntimeError("; ".join(self.refused))
        self.seconds = time.monotonic() - started

    def compare(self, kind, double, x64, model, x):
        path = self.tool.path("network.pt")
        try:
            script = script_of(double, kind, x64)
            with torch.no_grad():
                output = script(x64)
                off = relative(output, double(x64)) if output.shape[0] == 3 else 1.0
        except Exception as error:
            self.refused.append(f"{kind}: {str(error).strip()[-150:]}")
            return
        if off > 1e-10:  # a constant of the example's batch is in the trace
            self.refused.append(f"{kind}: another output")
            return
        self.kinds.append(kind)
        script.save(str(path))
        methods = "vanilla,smooth,guided,cam" if kind == self.kinds[0] else "vanilla"
        truths = {"vanilla": self.truth}
        for prepare in PREPARATIONS:
            self.ways(kind, prepare, "float64", methods, path, x64, truths)
        if kind == self.kinds[0]:
            script_of(model, kind, x).save(str(path))
            for prepare in PREPARATIONS:
                self.ways(kind, prepare, "float32", "brief", path, x, {"vanilla": self.truth})

    def ways(self, kind, prepare, dtype, methods, path, x, truths):
        bounds = [FLOAT64, FLOAT64]  # of the best row and the worst
        if dtype == "float32":
            bounds = [max(10 * self.spread, bound) for bound in (FLOAT32, TOLERANCE["float32"])]
        try:
            results = self.tool("ways", path, x, f"prepare={prepare}", f"dtype={dtype}", f"methods={methods}", timeout=1200)
        except ToolError as error:
            self.faults.append(f"{kind}, {prepare}, {dtype}: {error}")
            self.worst[f"{dtype}, {prepare}, it runs"] = float("inf")
            return
        for method in ("guided", "cam", "smooth"):  # their truth is the first, unprepared, that all are like
            for last in ("batch of 3", "chunk of 2"):
                truths.setdefault(method, results.get(f"{method}/{last}")) if f"{method}/{last}" in results else None
        for way, values in results.items():
            method, _, how = way.partition("/")
            if method == "output":
                continue
            truth = truths["vanilla" if method == "brief" else method]
            if isinstance(truth, str) and isinstance(values, str):
                if method == "vanilla" or not any(words in values for words in ("rectifier", "grid", "shape", "convolution")):
                    self.faults.append(f"{kind}, {prepare}, {dtype}, {way}: {values[:300]}")
                continue
            off = [float("inf")] if isinstance(truth, str) or isinstance(values, str) else rows_off(values, truth)
            column = f"{dtype}, {prepare}, {method}, {how}"
            self.worst[column] = max(self.worst[column], off[-1])
            if off[0] > bounds[0] or off[-1] > bounds[1]:
                self.faults.append(f"{kind}, {prepare}, {dtype}, {way}: {off[-1]:.1e} off, the best row {off[0]:.1e} (bounds "
                                   f"{bounds[1]:.0e}, {bounds[0]:.0e})" + (f": {values[:200]}" if isinstance(values, str) else ""))

    def as_dict(self):
        return {"name": self.name, "parameters": self.parameters, "size": self.size, "kinds": self.kinds,
                "worst": dict(self.worst), "faults": self.faults, "seconds": self.seconds}


def tried(tool, name, kinds, one_kind=False):
    warnings.simplefilter("ignore")
    try:
        return Network(tool, name, kinds, one_kind).as_dict()
    except Exception as error:  # of the network itself
        return {"name": name, "skipped": f"{type(error).__name__}: {error}"[:300]}


def told(result):
    if "skipped" in result:
        return f"{result['name']}: skipped, {result['skipped']}"
    worst = result["worst"]
    head = (f"{result['name']}: {result['parameters'] / 1e6:.1f} M, {result['size']}, {', '.join(result['kinds'])}, "
            f"{result['seconds']:.0f} s, {len(result['faults'])} faults (Python: batch of 1 "
            f"{worst['Python, float64, batch of 1']:.0e}, float32 {worst['Python, float32']:.0e})")
    return "\n  ".join([head, *result["faults"]])


COLUMNS = {
    "batch of 1": lambda way: way.startswith("float64, none, vanilla, batch of 1"),
    "batch of 1, fast": lambda way: way.startswith("float64, fast, vanilla, batch of 1"),
    "batch of 2 and 3": lambda way: "float64" in way and ("vanilla, batch of 2" in way or "vanilla, batch of 3" in way),
    "interleaved": lambda way: "float64" in way and "vanilla, channels-last" in way,
    "SmoothGrad": lambda way: "float64" in way and ", smooth" in way,
    "guided": lambda way: "float64" in way and ", guided" in way,
    "Grad-CAM": lambda way: "float64" in way and ", cam" in way,
    "Python, batch of 1": lambda way: way == "Python, float64, batch of 1",
    "float32": lambda way: way.startswith("float32"),
    "Python, float32": lambda way: way == "Python, float32",
}


def table(results):
    """Markdown: the worst deviation of each network in each group of ways."""
    lines = ["| network | M parameters | input | kinds | " + " | ".join(COLUMNS) + " |",
             "|---|---|---|---|" + "---|" * len(COLUMNS)]
    for result in results:
        if "skipped" not in result:
            cells = [sweeps.worst_cell(result, belongs) for belongs in COLUMNS.values()]
            lines.append(f"| {result['name'].replace(':', ' ')} | {result['parameters'] / 1e6:.1f} | {result['size']} | "
                         f"{', '.join(result['kinds'])} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


@unittest.skipUnless(timm, "timm is not there")
class Architectures(unittest.TestCase):
    def test_batches_layouts_and_preparations_agree(self):
        def one_kind(tool, name):
            return tried(tool, name, KINDS, one_kind=True)

        sweeps.try_some(self, SHORT, FEWEST, SECONDS, one_kind, told)


if __name__ == "__main__":
    parser = sweeps.options()
    parser.add_argument("--one-kind", action="store_true", help="scripted only where it cannot be traced")
    sweeps.main(parser, ALL, lambda tool, name, chosen: tried(tool, name, KINDS, chosen.one_kind), told, table)
