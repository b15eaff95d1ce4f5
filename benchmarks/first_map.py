"""What `attribute` does, in Python with Captum: a model and a picture in, the gradient and its four views out.

first_map.py MODEL.pt PICTURE FOLDER [--map-only]
"""

import pathlib
import sys


def four_views(values, tuned=True):
    """The four views (docs/methods/vanilla_gradient.md) of a (3,H,W) gradient, (H,W,3) bytes each.

    tuned: matplotlib gives bytes itself."""
    import matplotlib
    import numpy

    def normalized(x):
        x = x - x.min()
        highest = x.max()
        return x / highest if highest > 0 else x

    def colors(x, name):
        if tuned:
            return matplotlib.colormaps[name](x.mean(axis=2), bytes=True)[..., :3]
        return (matplotlib.colormaps[name](x.mean(axis=2))[..., :3] * 255).astype(numpy.uint8)

    values = values.transpose(1, 2, 0)
    gray = (255 * (normalized(numpy.abs(values)) ** 0.8).mean(axis=2)).astype(numpy.uint8)
    return {
        "no_activation": (255 * normalized(values)).astype(numpy.uint8),
        "relu_hot": colors(normalized(numpy.maximum(values, 0)), "hot"),
        "abs_coolwarm": colors(normalized(numpy.abs(values)) ** 0.5, "coolwarm"),
        "abs_grayscale": numpy.repeat(gray[..., None], 3, axis=2),
    }


def main(model, picture, folder, map_only):
    import numpy
    import torch
    from captum.attr import Saliency
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    net = torch.jit.load(model).eval()
    image = Image.open(picture).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    x = torch.from_numpy(numpy.array(image)).permute(2, 0, 1).float().div(255)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = x.sub(mean[:, None, None]).div(std[:, None, None]).unsqueeze(0)
    with torch.no_grad():
        target = int(net(x).argmax())
    values = Saliency(net).attribute(x.requires_grad_(True), target=target, abs=False)[0].detach()
    torch.save(values, folder / "vanilla.pt")
    if map_only:
        return
    image.save(folder / "input.png")
    for name, pixels in four_views(values.numpy()).items():
        Image.fromarray(pixels).save(folder / f"vanilla_{name}.png")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), "--map-only" in sys.argv)
