"""Pictures against Pillow, torchvision and matplotlib, live: the same pixels, byte for byte, JPEG within 3 levels.

Environment: SALIENCE_PICTURE_TOOL, the program of picture_tool.cpp (required); SALIENCE_SHARED_DATA, a folder whose
images/ holds photos (optional); CXX, the compiler that the macro test asks (optional, c++).
"""

import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

import matplotlib
import numpy
import torch

_torchvision = torch.library.Library("torchvision", "DEF")  # lets torchvision load beside a torch it was not built for
_torchvision.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_torchvision.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import PIL  # noqa: E402
from PIL import Image  # noqa: E402
from torchvision.transforms import CenterCrop  # noqa: E402

TOOL = os.environ["SALIENCE_PICTURE_TOOL"]
PIL_MAJOR = int(PIL.__version__.split(".")[0])
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


class Tool:
    """Gathers commands, then runs them all in one process."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.lines = []
        self.outputs = []
        self.inputs = 0

    def raw(self, array):
        """A raw file that holds the array (H, W) or (H, W, C)."""
        array = numpy.ascontiguousarray(array)
        path = self.folder / f"in{self.inputs}"
        self.inputs += 1
        height, width, channels = (*array.shape, 1)[:3]
        path.write_bytes(f"{height} {width} {channels}\n".encode() + array.tobytes())
        return path

    def add(self, command, *arguments, output=None):
        output = self.folder / f"out{len(self.lines)}" if output is None else output
        self.lines.append("\t".join(map(str, (command, *arguments, output))))
        self.outputs.append(output)

    def run(self):
        """The answers, in order: an array (H, W, C), an error's text, or None for a file that is not raw."""
        lines, outputs, self.lines, self.outputs = self.lines, self.outputs, [], []
        done = subprocess.run([TOOL], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
        statuses = done.stdout.splitlines()
        assert len(statuses) == len(lines), done
        return [self.answer(*pair) for pair in zip(statuses, outputs)]

    def answer(self, status, output):
        if status != "ok":
            return status
        if output.parent != self.folder or not output.name.startswith("out"):
            return None
        header, _, values = output.read_bytes().partition(b"\n")
        output.unlink()
        return numpy.frombuffer(values, numpy.uint8).reshape([int(size) for size in header.split()])


def pixels(image):
    """A Pillow image as an array (H, W, C)."""
    array = numpy.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def random_picture(generator, height, width, channels):
    return generator.integers(0, 256, (height, width, channels), dtype=numpy.uint8)


def pillow(array):
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def png(header, passes, extra=b""):
    """A PNG file: the fields of IHDR, then the scan lines without filters. Python writes what Pillow cannot."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = b"".join(b"\0" + line for line in passes)
    body = chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *header)) + extra + body


class Pictures(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tool = Tool(folder.name)
        self.folder = pathlib.Path(folder.name)
        self.random = numpy.random.default_rng(7)

    def check(self, expected, names, tolerance=0):
        """Runs the tool; every answer must be the expected array."""
        self.assertGreater(len(expected), 0)
        answers = self.tool.run()
        self.assertEqual(len(answers), len(expected))
        for answer, truth, name in zip(answers, expected, names):
            self.assertIsInstance(answer, numpy.ndarray, f"{name}: {answer}")
            self.assertEqual(answer.shape, truth.shape, name)
            worst = numpy.abs(answer.astype(int) - truth).max()
            self.assertLessEqual(worst, tolerance, f"{name}: differs by {worst}")

    def test_resize(self):
        sizes = [  # from height, width to height, width
            ((1, 1), (1, 1)), ((1, 1), (7, 5)), ((7, 5), (1, 1)), ((1, 9), (1, 4)), ((9, 1), (4, 1)),
            ((5, 5), (5, 5)), ((5, 6), (5, 3)), ((5, 6), (9, 6)), ((2, 3), (224, 224)), ((7, 7), (224, 224)),
            ((20000, 1), (13, 1)), ((1, 20000), (1, 13)), ((20000, 1), (3, 3)), ((1, 20000), (2, 20001)),
            ((33000, 2), (1, 1)), ((3, 2), (3001, 1)), ((256, 256), (224, 224)), ((224, 224), (256, 256)),
            ((540, 960), (224, 224)), ((767, 1023), (256, 341)), ((64, 64), (63, 65)), ((65, 63), (64, 64)),
        ]  # fmt: skip
        for rows in range(-1, 14):  # around the point where Pillow changes the order of its passes
            sizes.append(((40, 33), (40 - rows, 28)))
        for _ in range(120):
            h, w, to_h, to_w = (int(n) for n in numpy.exp(self.random.uniform(0, numpy.log(300), 4)).round())
            sizes.append(((h, w), (to_h, to_w)))
        expected, names = [], []
        for size, target in sizes:
            for channels in (1, 3):
                for extreme in (False, True):
                    array = random_picture(self.random, *size, channels)
                    if extreme:
                        array = numpy.where(array > 127, numpy.uint8(255), numpy.uint8(0))
                    self.tool.add("resize", self.tool.raw(array), *target)
                    expected.append(pixels(pillow(array).resize(target[::-1], Image.BILINEAR)))
                    names.append(f"{size} to {target}, {channels} channels")
                    if PIL_MAJOR < 13:  # it went along the rows first, always
                        self.tool.lines[-1] = self.tool.lines[-1].replace("resize", "resize_width_first", 1)
            array = random_picture(self.random, *size, 3)
            self.tool.add("resize_width_first", self.tool.raw(array), *target)
            wide = pillow(array).resize((target[1], size[0]), Image.BILINEAR)
            expected.append(pixels(wide.resize(target[::-1], Image.BILINEAR)))
            names.append(f"{size} to {target}, width first")
        for channels in (2, 4, 5):  # each channel as if it were alone
            array = random_picture(self.random, 31, 47, channels)
            self.tool.add("resize", self.tool.raw(array), 20, 60)
            alone = [pixels(Image.fromarray(array[..., c]).resize((60, 20), Image.BILINEAR)) for c in range(channels)]
            expected.append(numpy.concatenate(alone, 2))
            names.append(f"{channels} channels")
        self.check(expected, names)

    def test_center_crop(self):
        expected, names = [], []
        for height in range(1, 10):
            for width in (1, 4, 7, 8):
                array = random_picture(self.random, height, width, 3)
                for target in ((1, 1), (2, 5), (5, 2), (3, 3), (4, 4), (8, 9), (9, 8), (6, 7)):
                    self.tool.add("crop", self.tool.raw(array), *target)
                    expected.append(pixels(CenterCrop(target)(pillow(array))))
                    names.append(f"{height}x{width} to {target}")
        self.check(expected, names)

    def test_modes(self):
        levels = numpy.stack(numpy.meshgrid(*[[*range(0, 256, 15), 254]] * 3), -1).reshape(1, -1, 3).astype(numpy.uint8)
        arrays = [levels] + [random_picture(self.random, 50, 41, channels) for channels in (1, 2, 3, 4)]
        expected, names = [], []
        for array in arrays:
            for command, mode in (("rgb", "RGB"), ("gray", "L")):
                self.tool.add(command, self.tool.raw(array))
                expected.append(pixels(pillow(array).convert(mode)))
                names.append(f"{array.shape[2]} channels to {mode}")
        self.check(expected, names)

    def test_png_bmp_and_what_else_stb_reads(self):
        expected, names = [], []

        def loads(name, array):
            for command in ("load", "decode"):
                self.tool.add(command, self.folder / name)
                expected.append(array)
                names.append(f"{command} {name}")

        def saved(image, name, truth=None, **options):
            image.save(self.folder / name, **options)
            loads(name, pixels(image) if truth is None else truth)

        for height, width in ((1, 1), (37, 23), (64, 100)):
            for channels, mode in ((1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")):
                image = pillow(random_picture(self.random, height, width, channels))
                self.assertEqual(image.mode, mode)
                saved(image, f"{mode} {height}.png")
                saved(image, f"{mode} {height} best.PNG", optimize=True)
            for mode in ("L", "RGB"):
                image = pillow(random_picture(self.random, height, width, len(mode)))
                saved(image, f"{mode} {height}.bmp", pixels(image.convert("RGB")))  # stb gives no gray BMP
                saved(image, f"{mode} {height}.pnm")
            for channels in (1, 3, 4):
                image = pillow(random_picture(self.random, height, width, channels))
                saved(image, f"{channels} {height}.tga")
                saved(image, f"{channels} {height} packed.tga", compression="tga_rle")
            image = pillow(random_picture(self.random, height, width, 3)).quantize(64)
            saved(image, f"{height}.gif", pixels(image.convert("RGBA")))  # stb gives every GIF an alpha channel
            bits = Image.fromarray(self.random.integers(0, 2, (height, width)) > 0)
            saved(bits, f"1 bit {height}.png", pixels(bits.convert("L")))
            saved(bits, f"1 bit {height}.bmp", pixels(bits.convert("RGB")))
            for colors in (2, 4, 16, 256):
                indices = self.random.integers(0, colors, (height, width), dtype=numpy.uint8)
                palette = Image.new("P", (width, height))
                palette.putdata(indices.reshape(-1).tolist())
                palette.putpalette(self.random.integers(0, 256, 3 * colors, dtype=numpy.uint8).tobytes())
                saved(palette, f"P{colors} {height}.png", pixels(palette.convert("RGB")))
                saved(palette, f"P{colors} {height}.bmp", pixels(palette.convert("RGB")))
                alphas = bytes(int(a) for a in self.random.integers(0, 256, colors))
                palette.info["transparency"] = alphas
                saved(palette, f"P{colors} alpha {height}.png", pixels(palette.convert("RGBA")), transparency=alphas)

        def written(name, data, truth=None):
            (self.folder / name).write_bytes(data)
            with Image.open(self.folder / name) as image:
                loads(name, pixels(image) if truth is None else truth)

        for bits in (1, 2, 4):  # gray; Pillow reads what Python writes
            values = self.random.integers(0, 2**bits, (9, 21))
            spread = numpy.unpackbits(values.astype(numpy.uint8)[..., None], axis=2)[..., 8 - bits :]
            data = png((21, 9, bits, 0, 0, 0, 0), [numpy.packbits(row.reshape(-1)).tobytes() for row in spread])
            truth = (values * (255 // (2**bits - 1))).astype(numpy.uint8)[..., None]
            written(f"gray {bits} bits.png", data, truth)
            with Image.open(self.folder / f"gray {bits} bits.png") as image:
                numpy.testing.assert_array_equal(pixels(image.convert("L")), truth)

        for channels, color in ((1, 0), (2, 4), (3, 2), (4, 6)):  # 16 bits: the high byte
            wide = self.random.integers(0, 65536, (9, 21, channels), dtype=numpy.uint16)
            data = png((21, 9, 16, color, 0, 0, 0), [row.astype(">u2").tobytes() for row in wide])
            written(f"16 bits {channels}.png", data, (wide >> 8).astype(numpy.uint8))
            if channels > 2:
                with Image.open(self.folder / f"16 bits {channels}.png") as image:
                    numpy.testing.assert_array_equal(pixels(image), wide >> 8)

        for height, width in ((1, 1), (3, 5), (17, 26)):  # interlaced after Adam7
            for channels, color in ((1, 0), (3, 2), (4, 6)):
                array = random_picture(self.random, height, width, channels)
                steps = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
                passes = [row.tobytes() for y, x, dy, dx in steps for row in array[y::dy, x::dx] if row.size]
                data = png((width, height, 8, color, 0, 0, 1), passes)
                written(f"interlaced {height} {channels}.png", data)
                numpy.testing.assert_array_equal(expected[-1], array)

        rotated = pillow(random_picture(self.random, 12, 20, 3))  # an EXIF orientation is not applied
        exif = Image.Exif()
        exif[0x0112] = 6
        saved(rotated, "rotated.png", exif=exif)
        self.check(expected, names)

    def test_jpeg(self):
        expected, names = [], []
        y, x = numpy.mgrid[0:97, 0:131]
        smooth = numpy.stack([2 * y, 255 - x, x + y], -1).clip(0, 255).astype(numpy.uint8)
        for mode in ("L", "RGB"):
            for options in ({"quality": 95}, {"quality": 50}, {"quality": 90, "subsampling": 0}, {"progressive": True}):
                path = self.folder / f"{mode}{len(expected)}.jpg"
                Image.fromarray(smooth).convert(mode).save(path, **options)
                with Image.open(path) as image:
                    expected.append(pixels(image))
                self.tool.add("load", path)
                names.append(f"{mode} {options}")
        self.check(expected, names, tolerance=3)

    def test_photos(self):
        folder = pathlib.Path(os.environ.get("SALIENCE_SHARED_DATA") or "/nowhere") / "images"
        photos = sorted(folder.glob("*.jpg")) + sorted(folder.glob("*.bmp"))
        if not photos:
            self.skipTest(f"no photos: SALIENCE_SHARED_DATA names no folder with images/*.jpg or *.bmp ({folder})")
        for photo in photos:
            self.tool.add("load", photo)
            with Image.open(photo) as image:
                self.check([pixels(image)], [photo.name], tolerance=3 if photo.suffix == ".jpg" else 0)

    def test_save(self):
        cases = [(channels, "png") for channels in (1, 2, 3, 4)] + [(1, "bmp"), (3, "bmp"), (4, "bmp")]
        arrays = []
        for channels, extension in cases:
            array = random_picture(self.random, 45, 67, channels)
            arrays.append(array)
            self.tool.add("save", self.tool.raw(array), output=self.folder / f"saved Ü {channels}.{extension}")
        y, x = numpy.mgrid[0:97, 0:131]
        smooth = numpy.stack([2 * y, 255 - x, x + y], -1).clip(0, 255).astype(numpy.uint8)
        self.tool.add("save", self.tool.raw(smooth), output=self.folder / "saved.jpeg")
        self.assertEqual(self.tool.run(), [None] * (len(cases) + 1))
        for (channels, extension), array in zip(cases, arrays):
            with Image.open(self.folder / f"saved Ü {channels}.{extension}") as image:
                self.assertEqual(image.format, extension.upper())
                truth = pillow(array).convert("RGB") if (channels, extension) == (1, "bmp") else pillow(array)
                numpy.testing.assert_array_equal(pixels(image), pixels(truth), f"{channels} {extension}")
        with Image.open(self.folder / "saved.jpeg") as image:
            self.assertEqual(image.format, "JPEG")
            self.assertLessEqual(numpy.abs(pixels(image).astype(int) - smooth).max(), 6)

    def heatmaps(self, dtype, entries):
        """Values on, just below and just above every step, outside [0, 1], and at random."""
        steps = (numpy.arange(entries + 1) / entries).astype(dtype)
        around = [numpy.nextafter(steps, dtype(-9)), steps, numpy.nextafter(steps, dtype(9))]
        largest = numpy.finfo(dtype).max
        special = [0.0, -0.0, 1.0, -1e-30, -0.5, 1.5, 2.0, 1e30, -1e30, numpy.inf, -numpy.inf, largest, -largest]
        special.append(numpy.finfo(dtype).smallest_subnormal)
        values = numpy.concatenate([*around, numpy.array(special, dtype), self.random.uniform(-0.1, 1.1, 4000).astype(dtype)])
        return values[None, :]

    def test_colormaps(self):
        known = subprocess.run([TOOL, "names"], capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual(len(known), 50)
        expected, names = [], []
        with numpy.errstate(over="ignore"):
            for name in known:
                colormap = matplotlib.colormaps[name]
                for bits, dtype in ((32, numpy.float32), (64, numpy.float64)):
                    values = self.heatmaps(dtype, colormap.N)
                    self.tool.add(f"colormap{bits}", self.tool.raw(values), name)
                    expected.append((colormap(values)[..., :3] * 255).astype(numpy.uint8))
                    names.append(f"{name} {bits}")
        self.check(expected, names)

    def test_grayscale(self):
        expected, names = [], []
        for bits, dtype in ((32, numpy.float32), (64, numpy.float64)):
            values = self.heatmaps(dtype, 255)
            self.tool.add(f"grayscale{bits}", self.tool.raw(values))
            expected.append(numpy.repeat((255 * values.clip(0, 1)).astype(numpy.uint8)[..., None], 3, 2))
            names.append(f"{bits}")
        self.check(expected, names)

    def test_tables(self):
        generator = ROOT / "cmake" / "generate_colormaps.py"
        done = subprocess.run([sys.executable, generator, "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)


class Macros(unittest.TestCase):
    def test_none_leaks(self):
        """A user's own stb settings survive our headers, and nothing of ours is left."""
        compiler = shutil.which(os.environ.get("CXX") or "c++")
        if not compiler:
            self.skipTest("no compiler: CXX names none and there is no c++")

        def macros(source):
            command = [compiler, "-std=c++20", "-dM", "-E", "-x", "c++", "-", f"-I{ROOT / 'include'}"]
            done = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
            return set(done.stdout.splitlines())

        headers = "#include <salience/picture/image_io.hpp>\n#include <salience/picture/contact_sheet.hpp>\n"
        stb = [line for line in macros(headers) if any(s in line.lower() for s in ("stb", "salience", " dct_", "fast_bits"))]
        self.assertEqual(stb, [])
        own = "#define STBI_MALLOC(n) mine(n)\n#define STBI_NO_PNG\n#define STBIDEF mine\n#define stbi__err 5\n"
        self.assertEqual(macros(own + headers) - macros(headers), set(own.splitlines()) - {"#define STBI_NO_PNG"} | {"#define STBI_NO_PNG "})


if __name__ == "__main__":
    unittest.main()
