"""A suite of picture files in the manner of PngSuite, for every format that load_image reads, and of files that lie.

`python make_image_suite.py FOLDER` writes them all; test_images.py says what must become of each. Pillow writes most
of them, Python the kinds that Pillow does not write.
"""

import dataclasses
import io
import itertools
import pathlib
import struct
import sys
import zlib

import numpy
from PIL import Image

SIZES = ((1, 1), (1, 300), (300, 1), (3, 5), (13, 32), (1, 20000), (20000, 1))  # height, width
PNG_KINDS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}  # colour type: bits
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))  # y, x, steps


@dataclasses.dataclass
class Case:
    """A file, and what must become of it: "picture" (Pillow's pixels, or `truth` if that is given), "error" (a
    FileError), "right" (`truth` or a FileError) or "any" (a picture or a FileError)."""

    kind: str  # a line of the table that test_images.py prints
    path: pathlib.Path
    must: str
    truth: numpy.ndarray | None = None
    tolerance: int = 0


class Suite:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.cases = []
        self.random = numpy.random.default_rng(11)

    def add(self, kind, data, must="picture", extension="", **more):
        path = self.folder / f"{len(self.cases):05}{extension}"
        path.write_bytes(data)
        self.cases.append(Case(kind, path, must, **more))
        return data

    def save(self, kind, image, extension, tolerance=0, **options):
        """By Pillow."""
        file = io.BytesIO()
        image.save(file, {".jpg": "JPEG", ".tga": "TGA"}.get(extension, extension[1:].upper()), **options)
        return self.add(kind, file.getvalue(), extension=extension, tolerance=tolerance)

    def array(self, height, width, channels, values=256):
        return self.random.integers(0, values, (height, width, channels), dtype=numpy.uint16 if values > 256 else numpy.uint8)

    def picture(self, height, width, mode):
        array = self.array(height, width, len(mode))
        return Image.fromarray(array[..., 0] if len(mode) == 1 else array, mode)


# ---- PNG -----------------------------------------------------------------------------------------------------


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(*chunks):
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def filtered(rows, pixel_bytes, kind):
    """The scan lines (H, bytes) after the PNG filter `kind`, 0 to 4."""
    rows = rows.astype(numpy.int16)
    left, up, corner = numpy.zeros_like(rows), numpy.zeros_like(rows), numpy.zeros_like(rows)
    left[:, pixel_bytes:] = rows[:, :-pixel_bytes]
    up[1:] = rows[:-1]
    corner[1:] = left[:-1]
    guess = left + up - corner
    distance = abs(numpy.stack([guess - left, guess - up, guess - corner]))
    paeth = numpy.choose(distance.argmin(0), [left, up, corner])
    predicted = [numpy.zeros_like(rows), left, up, (left + up) // 2, paeth][kind]
    marks = numpy.full((len(rows), 1), kind, numpy.uint8)
    return numpy.concatenate([marks, ((rows - predicted) % 256).astype(numpy.uint8)], 1).tobytes()


def png(array, color, bits, interlaced=False, line_filter=0, before=b"", data_chunks=1):
    """`before` stands before the data: PLTE, tRNS and others."""
    height, width, channels = array.shape
    lines = b""
    for y, x, down, right in ADAM7 if interlaced else ((0, 0, 1, 1),):
        part = array[y::down, x::right]
        if not part.size:
            continue
        if bits == 16:
            rows = part.astype(">u2").view(numpy.uint8).reshape(len(part), -1)
        else:
            each = numpy.unpackbits(part.astype(numpy.uint8)[..., None], axis=-1)[..., 8 - bits :]
            rows = numpy.packbits(each.reshape(len(part), -1), axis=1)
        lines += filtered(rows, max(1, bits * channels // 8), line_filter)
    packed = zlib.compress(lines)
    step = -(-len(packed) // data_chunks)
    data = b"".join(chunk(b"IDAT", packed[i : i + step]) for i in range(0, len(packed), step))
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlaced)
    return png_of(chunk(b"IHDR", header), before, data, chunk(b"IEND", b""))


def add_png(suite):
    for (color, all_bits), interlaced in itertools.product(PNG_KINDS.items(), (False, True)):
        for bits, (height, width), line_filter in itertools.product(all_bits, SIZES, range(5)):
            array = suite.array(height, width, PNG_CHANNELS[color], 2**bits)
            palette = chunk(b"PLTE", suite.array(2**bits, 3, 1).tobytes()) if color == 3 else b""
            kind = f"PNG, {'interlaced' if interlaced else 'not interlaced'}: all colour types and bits, filters, sizes"
            truth = (array >> 8).astype(numpy.uint8) if (color, bits) == (4, 16) else None  # Pillow gives RGBA
            suite.add(kind, png(array, color, bits, interlaced, line_filter, palette), truth=truth)

    for bits, interlaced in itertools.product((1, 2, 4, 8), (False, True)):
        before = chunk(b"PLTE", suite.array(2**bits, 3, 1).tobytes()) + chunk(b"tRNS", suite.array(1, 2**bits - 1, 1).tobytes())
        suite.add("PNG with transparency (tRNS)", png(suite.array(13, 32, 1, 2**bits), 3, bits, interlaced, before=before))
    for color, bits in ((0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16)):
        array = suite.array(13, 32, PNG_CHANNELS[color], 2**bits)
        clear = array[5, 7]
        levels = array >> 8 if bits == 16 else array * (255 // (2**bits - 1))
        alpha = numpy.where((array == clear).all(-1, keepdims=True), 0, 255)
        truth = numpy.concatenate([levels, alpha], -1).astype(numpy.uint8)  # Pillow takes 16 bits and few bits otherwise
        suite.add("PNG with transparency (tRNS)", png(array, color, bits, before=chunk(b"tRNS", clear.astype(">u2").tobytes())), truth=truth)

    array = suite.array(13, 32, 3)
    extras = [chunk(b"gAMA", struct.pack(">I", 45455)), chunk(b"tEXt", b"Title\0none"), chunk(b"pHYs", struct.pack(">IIB", 1, 2, 0)),
              chunk(b"bKGD", bytes(6)), chunk(b"zTXt", b"a\0\0" + zlib.compress(b"text")), chunk(b"prVt", bytes(300)),
              chunk(b"sBIT", b"\5\6\5"), chunk(b"tIME", bytes(7)), chunk(b"cHRM", struct.pack(">8I", *range(1, 9)))]  # fmt: skip
    for extra in [*extras, b"".join(extras)]:
        suite.add("PNG with other chunks, or many of data", png(array, 2, 8, before=extra))
    for count in (2, 7, 400):
        suite.add("PNG with other chunks, or many of data", png(array, 2, 8, data_chunks=count))
    suite.add("PNG with other chunks, or many of data", png(array, 2, 8) + b"more")

    def damaged(data):
        suite.add("PNG, damaged", data, "error")

    header = struct.pack(">IIBBBBB", 32, 13, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(filtered(array.reshape(13, -1), 3, 0)))
    end = chunk(b"IEND", b"")
    whole = png_of(chunk(b"IHDR", header), chunk(b"tEXt", b"a\0b"), data, end)
    at = 8
    while at < len(whole):  # a bad check sum in each chunk; a changed byte in each
        (length,) = struct.unpack(">I", whole[at : at + 4])
        for place in {at + 8 + length, at + 11 + length, at + 4, at + 8 + length // 2}:
            damaged(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        at += 12 + length
    damaged(b"\x89PNG\n\n" + whole[6:])
    for chunks in ([data, end], [chunk(b"IHDR", header), end], [chunk(b"IHDR", header[:-1]), data, end], [chunk(b"IHDR", header), data],
                   [chunk(b"IHDR", header), chunk(b"IHDR", header), data, end], [end], [chunk(b"IHDR", header), chunk(b"CRIT", b""), data, end]):
        damaged(png_of(*chunks))
    for bits, color, *methods in ((3, 2, 0, 0, 0), (8, 1, 0, 0, 0), (8, 5, 0, 0, 0), (8, 7, 0, 0, 0), (16, 3, 0, 0, 0), (0, 0, 0, 0, 0),
                                  (8, 2, 1, 0, 0), (8, 2, 0, 1, 0), (8, 2, 0, 0, 2), (8, 3, 0, 0, 0)):
        damaged(png_of(chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 13, bits, color, *methods)), data, end))
    for height, width in ((0, 32), (13, 0), (0, 0), (14, 32), (13, 64)):
        damaged(png_of(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), data, end))
    for packed in (b"", b"\0", zlib.compress(b""), zlib.compress(bytes(13 * 97))[:-9], zlib.compress(b"\5" + bytes(13 * 97 - 1))):
        damaged(png_of(chunk(b"IHDR", header), chunk(b"IDAT", packed), end))


# ---- the other formats ---------------------------------------------------------------------------------------


def smooth(height, width, mode):
    y, x = numpy.mgrid[0:height, 0:width]
    array = numpy.stack([2 * y, 255 - x, x + y, 9 * (x // 8)][: len(mode)], -1).clip(0, 255).astype(numpy.uint8)
    return Image.fromarray(array[..., 0] if len(mode) == 1 else array, mode)


def add_jpeg(suite):
    for mode, progressive, (height, width) in itertools.product(("L", "RGB"), (False, True), (*SIZES, (97, 131))):
        for options in ({}, {"quality": 40}, {"optimize": True}, *({"subsampling": s} for s in (0, 1, 2) if mode == "RGB")):
            kind = f"JPEG, {'progressive' if progressive else 'baseline'}: gray and RGB, qualities, subsampling, sizes"
            suite.save(kind, smooth(height, width, mode), ".jpg", 3, progressive=progressive, **options)
    for mode, progressive, every in itertools.product(("L", "RGB"), (False, True), ({"blocks": 1}, {"blocks": 7}, {"rows": 1})):
        options = {f"restart_marker_{name}": count for name, count in every.items()}
        suite.save("JPEG with restart markers", smooth(97, 131, mode), ".jpg", 3, progressive=progressive, **options)
    for progressive, subsampling in itertools.product((False, True), (0, 2)):
        suite.save("JPEG, CMYK", smooth(97, 131, "CMYK"), ".jpg", 4, progressive=progressive, subsampling=subsampling)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        suite.save("JPEG with an EXIF orientation", smooth(97, 131, "RGB"), ".jpg", 3, exif=exif)
    suite.save("JPEG of RGB without conversion", smooth(97, 131, "RGB"), ".jpg", 3, keep_rgb=True)

    file = io.BytesIO()
    smooth(97, 131, "RGB").save(file, "JPEG")
    whole = file.getvalue()

    def damaged(data):
        suite.add("JPEG, damaged or of a kind that stb does not read", data, "error")

    frame, tables, scan = whole.index(b"\xff\xc0"), whole.index(b"\xff\xc4"), whole.index(b"\xff\xda")
    for other in (0xC3, 0xC5, 0xC9, 0xCA):  # lossless, hierarchical, arithmetic coding
        damaged(whole[: frame + 1] + bytes([other]) + whole[frame + 2 :])
    damaged(whole[: frame + 4] + b"\x0c" + whole[frame + 5 :])  # 12 bits
    damaged(whole[:scan] + b"\xff\xd9")
    damaged(b"\xff\xd8\xff\xd9")
    damaged(whole[: tables + 5] + b"\xff" * 16 + whole[tables + 21 :])  # 4080 codes


def add_bmp(suite):
    damaged = "BMP, damaged or of a kind that stb does not read"
    kind = "BMP: 1, 4, 8, 16, 24, 32 bits, palettes, top down"
    for height, width in SIZES:
        for image in (suite.picture(height, width, "L"), suite.picture(height, width, "RGB"), suite.picture(height, width, "L").convert("1")):
            suite.save(kind, image, ".bmp")
        for colors in (2, 16, 256):
            suite.save(kind, suite.picture(height, width, "RGB").quantize(colors), ".bmp")

    def bmp(height, width, bits, data, compression=0, masks=b""):
        header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 1, 1, 0, 0) + masks
        return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(data), 0, 0, 14 + len(header)) + header + data

    array = suite.array(13, 32, 4)
    rgb = array[..., 2::-1]
    suite.add(kind, bmp(-13, 32, 24, array[..., :3].tobytes()), truth=rgb)
    suite.add(kind, bmp(13, 32, 24, array[::-1, :, :3].tobytes()), truth=rgb)
    words = suite.array(13, 32, 1, 65536)
    for masks, compression in ((b"", 0), (struct.pack("<III", 0xF800, 0x7E0, 0x1F), 3), (struct.pack("<III", 0x7C00, 0x3E0, 0x1F), 3)):
        suite.add(kind, bmp(13, 32, 16, words.tobytes(), compression, masks), tolerance=1)
    for compression, bits in ((1, 8), (2, 4), (4, 24), (9, 24)):
        suite.add(damaged, bmp(13, 32, bits, bytes(4000), compression), "error")
    for height, width, bits in ((0, 32, 24), (13, 0, 24), (13, -32, 24), (13, 32, 7)):
        suite.add(damaged, bmp(height, width, bits, bytes(4000)), "error")


def add_gif(suite):
    kind = "GIF: palettes, interlaced, transparent, animated"
    for height, width in SIZES:
        for colors, interlace in itertools.product((2, 16, 256), (0, 1)):
            suite.save(kind, suite.picture(height, width, "RGB").quantize(colors), ".gif", interlace=interlace)
    clear = suite.picture(13, 32, "RGB").quantize(16)
    clear.info["transparency"] = 3
    suite.save(kind, clear, ".gif", transparency=3)
    frames = [suite.picture(13, 32, "RGB").quantize(16) for _ in range(3)]
    suite.save(kind, frames[0], ".gif", save_all=True, append_images=frames[1:])


def psd(array, packed, depth=8, mode=3):
    height, width, channels = array.shape
    planes = [plane.astype(">u2" if depth == 16 else numpy.uint8) for plane in numpy.moveaxis(array, -1, 0)]
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, height, width, depth, mode) + bytes(12)
    if not packed:
        return header + bytes(2) + b"".join(plane.tobytes() for plane in planes)
    rows = []
    for row in (row.tobytes() for plane in planes for row in plane):
        rows.append(b"".join(bytes([len(part) - 1]) + part for part in (row[i : i + 128] for i in range(0, len(row), 128))))
    return header + struct.pack(">H", 1) + struct.pack(f">{len(rows)}H", *map(len, rows)) + b"".join(rows)


def add_psd(suite):
    kind = "PSD: RGB, packed or not"
    for (height, width), packed in itertools.product(SIZES, (False, True)):
        array = suite.array(height, width, 3)
        suite.add(kind, psd(array, packed), extension=".psd")
    wide = suite.array(13, 32, 3, 65536)
    opaque = numpy.full((13, 32, 1), 255)
    suite.add(kind, psd(wide, False, 16), truth=numpy.concatenate([wide >> 8, opaque], -1).astype(numpy.uint8))
    for depth, mode in ((1, 0), (8, 1), (8, 4), (32, 3)):
        suite.add("PSD of another colour mode", psd(suite.array(13, 32, 3), False, depth, mode), "error")


def add_pnm(suite):
    kind = "PNM: binary gray and RGB, comments"
    other = "PNM of other levels, as text, of bits, of floats, damaged"
    for mode in ("L", "RGB"):
        for height, width in SIZES:
            suite.save(kind, suite.picture(height, width, mode), ".ppm")
        data = suite.array(13, 32, len(mode)).tobytes()
        magic = b"P5" if mode == "L" else b"P6"
        suite.add(kind, magic + b"\n# a comment\n32 # another\n13\n255\n" + data)
        for levels in (1, 254, 256, 65535):
            suite.add(other, magic + b"\n32 13\n%d\n" % levels + 2 * data, "error")
    for text in (b"P1\n2 1\n0 1\n", b"P2\n2 1\n255\n0 9\n", b"P3\n1 1\n255\n1 2 3\n", b"P4\n8 1\n\xaa", b"P6\n2 1\n70000\n" + bytes(24),
                 b"P5\n0 5\n255\n", b"P5\n-3 5\n255\n" + bytes(99), b"P6\n99999999999 9\n255\n", b"P7\nWIDTH 1\n", b"Pf\n1 1\n-1.0\n" + bytes(4)):
        suite.add(other, text, "error")


def add_tga(suite):
    kind = "TGA: gray, palette, RGB, RGBA, packed or not"
    for (height, width), mode in itertools.product(SIZES, ("L", "RGB", "RGBA")):
        for options in ({}, {"compression": "tga_rle"}, {"orientation": 1}):
            suite.save(kind, suite.picture(height, width, mode), ".tga", **options)
    for compression in (None, "tga_rle"):
        suite.save(kind, suite.picture(13, 32, "RGB").quantize(16), ".tga", compression=compression)
    words = suite.array(13, 32, 1, 32768)
    header = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 32, 13, 16, 0)
    colors = numpy.concatenate([words >> 10, words >> 5 & 31, words & 31], -1)[::-1]
    truth = (colors * 255 // 31).astype(numpy.uint8)  # Pillow takes the highest bit for alpha
    suite.add(kind, header + words.tobytes(), truth=truth)


def add_others(suite):
    kind = "formats that are not read: HDR, PIC, TIFF, WebP"
    for head in (b"#?RADIANCE\n", b"#?RGBE\n"):
        suite.add(kind, head + b"FORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 2\n" + bytes(16), "error")
    pic = bytes([0x53, 0x80, 0xF6, 0x34]) + bytes(84) + b"PICT" + struct.pack(">HH", 2, 2) + bytes(8)
    for data in (bytes(12), b"\1\2"):  # the second is cut off, which crashes stb_image 2.27
        suite.add(kind, pic + bytes([0, 8, 0, 0xE0]) + data, "error")
    for name in ("TIFF", "WebP"):
        file = io.BytesIO()
        suite.picture(13, 32, "RGB").save(file, name)
        suite.add(kind, file.getvalue(), "error")


# ---- files that lie ------------------------------------------------------------------------------------------


def samples(suite):
    """One small file of each format."""
    names = ("PNG", "PNG, interlaced", "JPEG, baseline", "JPEG, progressive", "BMP", "GIF", "PSD", "PNM", "TGA")
    result = {}
    for name in names:
        cases = [case for case in suite.cases if case.kind.startswith(name) and case.must == "picture"]
        result[name] = min(cases, key=lambda case: abs(case.path.stat().st_size - 1500))
    return result


def add_lies(suite, decode):
    whole = {name: (case.path.read_bytes(), decode(case)) for name, case in samples(suite).items()}
    for name, (data, (truth, tolerance)) in whole.items():
        for size in range(64, len(data), 64):
            suite.add("cut off at every 64th byte, every format", data[:size], "right", truth=truth, tolerance=tolerance)
        suite.add("another format's extension", data, extension=".jpg" if "JPEG" not in name else ".png", truth=truth, tolerance=tolerance)
        for _ in range(60):
            changed = bytearray(data)
            for place in suite.random.integers(0, len(data), suite.random.integers(1, 9)):
                changed[place] = suite.random.integers(0, 256)
            suite.add("bytes changed at random, every format", bytes(changed), "any")
        for _ in range(20):
            suite.add("a format's first bytes, then random ones", data[:24] + suite.random.bytes(600), "any")
    for size in range(1, 301):
        suite.add("random bytes", suite.random.bytes(size), "any")
    for text in (b"", b"\n", b"no picture at all", "größe\n".encode(), b"<html></html>", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"BM", b"8BPS", b"P6"):
        suite.add("empty, text, a format's first bytes alone", text, "error")


def add_bombs(suite):
    """Small files that want much memory or time."""

    def bomb(data):
        suite.add("decompression bombs", data, "error")

    side = 65535
    one = Image.new("RGB", (8, 8))
    file = io.BytesIO()
    one.save(file, "JPEG", progressive=True)
    jpeg = file.getvalue()
    size = struct.pack(">HH", side, side)
    frame = jpeg.index(b"\xff\xc2") + 5
    huge = jpeg[:frame] + size + jpeg[frame + 4 :]
    bomb(huge)
    scan = jpeg.index(b"\xff\xda")
    again = jpeg[scan : jpeg.index(b"\xff", scan + 2)]
    bomb(jpeg[:scan] + 5000 * again + jpeg[scan:])
    for width in (side, 2**24, 2**31 - 1):
        bomb(png_of(chunk(b"IHDR", struct.pack(">IIBBBBB", width, side, 8, 2, 0, 0, 0)), chunk(b"IDAT", zlib.compress(bytes(99))), chunk(b"IEND", b"")))
    deep = zlib.compressobj(9)
    zeros = b"".join([*(deep.compress(bytes(1 << 20)) for _ in range(256)), deep.flush()])  # 256 MiB
    bomb(png_of(chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)), chunk(b"IDAT", zeros), chunk(b"IEND", b"")))
    bomb(png_of(chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))) + struct.pack(">I", 2**31 - 1) + b"IDAT" + bytes(99))
    bomb(b"BM" + struct.pack("<IHHI", 60, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 1, 1, 0, 0) + bytes(99))
    bomb(b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6) + b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + bytes(9))
    bomb(b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, side, side, 8, 3) + bytes(14) + bytes(99))
    bomb(b"P6\n65535 65535\n255\n" + bytes(99))
    bomb(struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, side, side, 24, 0) + bytes(99))


def make(folder, decode):
    """The cases. `decode(case)` gives a file's true pixels and the tolerance."""
    suite = Suite(folder)
    for add in (add_png, add_jpeg, add_bmp, add_gif, add_psd, add_pnm, add_tga, add_others):
        add(suite)
    add_lies(suite, decode)
    add_bombs(suite)
    return suite.cases


if __name__ == "__main__":
    print(len(make(sys.argv[1], lambda case: (None, 0))), "files")
