"""The page of `attribute --report` in a browser: its pixels against the library's files, numpy and matplotlib; that it
asks nothing of the network; phones, light and dark, the keyboard, names for assistive technology, hostile file names."""

import base64
import io
import os
import pathlib
import shutil
import tempfile
import unittest

import matplotlib
import numpy
import torch
from browser import Browser
from peers import EXAMPLES, attribute, scenes
from PIL import Image

METHODS = ["integrated_gradients", "vanilla", "grad_cam"]
COLORMAPS = ["inferno", "viridis", "hot", "jet", "gray", "coolwarm", "RdBu_r"]
SIGNS = {
    "absolute": numpy.abs,
    "positive": lambda x: numpy.maximum(x, 0),
    "negative": lambda x: numpy.maximum(-x, 0),
}
SCENE = scenes()[0]
PICTURES = pathlib.Path(os.environ["SALIENCE_REPORT_PICTURES"])
DRAWN = """document.querySelector('.method canvas') !== null
    && [...document.querySelectorAll('.method canvas')].every((canvas) => canvas.hasAttribute('aria-label'))"""


def clip(x, percentile):
    limit = numpy.percentile(numpy.abs(x), percentile).astype(numpy.float32)
    return numpy.clip(x, -limit, limit)


def heatmap(values, sign, cam):
    """What --report is to show of an attribution (1,C,H,W): from 0 to 1, (H,W)."""
    if sign == "signed":
        x = clip(values.mean(1)[0].numpy(), 100 if cam else 99)
        limit = numpy.abs(x).max()
        return (x + limit) / (2 * limit) if limit > 0 else numpy.full_like(x, 0.5)
    x = clip(SIGNS[sign](values[0].permute(1, 2, 0).numpy()), 100 if cam else 99)
    x = x - x.min()
    x = x / x.max() if x.max() > 0 else x
    return (x if cam else numpy.sqrt(x)).mean(-1)


def colour(x, name):
    return (matplotlib.colormaps[name](x)[..., :3] * 255).astype(numpy.uint8)


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser(os.environ["SALIENCE_CHROMIUM"])
        cls.addClassCleanup(cls.browser.close)
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.page = cls.folder / "report.html"
        cls.make(cls.page, "--method", *METHODS, "--output", cls.folder)
        cls.input = cls.file("input.png")

    @staticmethod
    def make(page, *more, image=SCENE, model=EXAMPLES / "scenes.pt", labels=EXAMPLES / "labels.txt", size="96x96"):
        done = attribute("--model", model, "--image", image, "--labels", labels, "--size", size, "--report", page, *more)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr

    @classmethod
    def file(cls, name):
        return numpy.asarray(Image.open(cls.folder / name).convert("RGB"))

    def open(self, page=None, width=1280, scheme="light"):
        self.browser.look(width, scheme=scheme)
        self.browser.open(page or self.page)
        self.browser.wait_for(DRAWN)

    def setUp(self):
        self.browser.events.clear()

    def tearDown(self):
        """Whatever a test did: the page asked nothing of the network and met no error."""
        for event in self.browser.events:
            method, params = event["method"], event["params"]
            self.assertNotIn(method, ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded",
                                      "Page.javascriptDialogOpening"), event)
            if method == "Network.requestWillBeSent":
                url = params["request"]["url"]
                self.assertTrue(url.startswith("data:") or params["type"] == "Document" and url.startswith("file:"), url)

    def run_js(self, script):
        return self.browser.run(script)

    def canvas(self, selector):
        png = self.run_js(f"document.querySelector('{selector}').toDataURL()").split(",")[1]
        rgba = numpy.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA"))
        self.assertTrue((rgba[..., 3] == 255).all())
        return rgba[..., :3]

    def map_of(self, method):
        return self.canvas(f".method:nth-child({METHODS.index(method) + 1}) canvas")

    def assert_pixels(self, ours, expected, words):
        self.assertEqual(ours.shape, expected.shape, words)
        self.assertTrue(numpy.array_equal(ours, expected), f"{words}: {(ours != expected).any(-1).sum()} pixels differ")

    def slide(self, selector, value):
        self.run_js(f"(s => {{ s.value = {value}; s.dispatchEvent(new Event('input', {{bubbles: true}})); }})"
                    f"(document.querySelector('{selector}'))")

    def choose(self, sign=None, colormap=None):
        """Chooses as a person does, and waits until every map is drawn anew."""
        self.run_js("document.querySelectorAll('.method canvas').forEach(c => c.removeAttribute('aria-label'))")
        if sign:
            self.run_js(f"document.querySelector('[name=sign][value={sign}]').click()")
        if colormap:
            self.run_js(f"(s => {{ s.value = '{colormap}'; s.dispatchEvent(new Event('change', {{bubbles: true}})); }})"
                        "(document.getElementById('colormap'))")
        self.browser.wait_for(DRAWN)

    # ---- pixels ----------------------------------------------------------------------------------------------

    def test_it_opens_with_the_pixels_of_the_overlay_files(self):
        self.open()
        for method in ("integrated_gradients", "vanilla"):
            self.assert_pixels(self.map_of(method), self.file(f"{method}_overlay.png"), method)
        self.choose("positive", "jet")
        self.assert_pixels(self.map_of("grad_cam"), self.file("grad_cam_overlay.png"), "grad_cam")

    def test_a_picture_that_is_not_square(self):
        page = self.folder / "wide" / "report.html"
        self.make(page, "--output", page.parent, size="80x128")
        self.open(page)
        self.assertEqual(self.file("wide/vanilla_overlay.png").shape, (80, 128, 3))
        self.assert_pixels(self.canvas(".method canvas"), self.file("wide/vanilla_overlay.png"), "80x128")

    def test_the_slider_blends_from_the_input_to_the_map(self):
        self.open()
        before = self.map_of("vanilla"), self.map_of("grad_cam")
        shot = self.element_on_screen(".method:nth-child(2) canvas")
        slider = ".method:nth-child(2) input"
        self.run_js(f"document.querySelector('{slider}').focus()")
        self.browser.press("ArrowRight", 39)
        self.assertEqual(self.run_js(f"document.querySelector('{slider}').value"), "51")
        self.assertEqual(self.run_js("document.querySelector('.method:nth-child(2) output').textContent"), "51 %")
        coloured = colour(heatmap(torch.load(self.folder / "vanilla.pt"), "absolute", False), "inferno")
        blended = numpy.floor(self.input * (1 - 0.51) + coloured * 0.51 + 0.5).astype(numpy.uint8)
        self.assert_pixels(self.map_of("vanilla"), blended, "51 %")
        self.assert_pixels(self.map_of("grad_cam"), before[1], "another method's")
        self.browser.press("Home", 36)
        self.assert_pixels(self.map_of("vanilla"), self.input, "0 %")
        self.assertFalse(numpy.array_equal(self.element_on_screen(".method:nth-child(2) canvas"), shot))
        self.browser.press("End", 35)
        self.assert_pixels(self.map_of("vanilla"), coloured, "100 %")
        self.slide("#all input", 0)
        for method in METHODS:
            self.assert_pixels(self.map_of(method), self.input, f"all: {method}")
        self.slide("#all input", 50)
        self.assert_pixels(self.map_of("vanilla"), before[0], "back")

    def element_on_screen(self, selector):
        """The pixels that a person sees of an element."""
        path = self.folder / "screen.png"
        self.browser.screenshot(path)
        box = self.run_js(f"(r => [r.left, r.top + scrollY, r.right, r.bottom + scrollY])"
                          f"(document.querySelector('{selector}').getBoundingClientRect())")
        return numpy.asarray(Image.open(path).convert("RGB").crop(tuple(map(round, box))))

    def test_every_sign_and_colour_map_against_numpy_and_matplotlib(self):
        self.open()
        self.slide("#all input", 100)
        offered = self.run_js("[...document.querySelectorAll('#colormap option')].map(o => o.value)")
        self.assertEqual(offered, COLORMAPS)
        values = {method: torch.load(self.folder / f"{method}.pt") for method in METHODS}
        seen = {}
        for sign in (*SIGNS, "signed"):
            for name in COLORMAPS:
                self.choose(sign, name)
                row = self.canvas("#scale canvas")
                self.assert_pixels(row[0], colour(numpy.arange(256), name), f"the scale in {name}")
                for method in METHODS:
                    expected = colour(heatmap(values[method], sign, method == "grad_cam"), name)
                    seen[method, sign, name] = self.map_of(method)
                    self.assert_pixels(seen[method, sign, name], expected, f"{method}, {sign}, {name}")
        for method in ("integrated_gradients", "vanilla"):
            self.assertEqual(len({m.tobytes() for (which, *_), m in seen.items() if which == method}), 4 * len(COLORMAPS))

    def test_both_signs_take_a_colour_map_with_a_middle(self):
        self.open()
        chosen = "document.getElementById('colormap').value"
        self.choose("negative", "hot")
        self.assertEqual(self.run_js(chosen), "hot")
        self.choose("signed")
        self.assertEqual(self.run_js(chosen), "coolwarm")
        self.choose("signed", "RdBu_r")
        self.assertEqual(self.run_js(chosen), "RdBu_r")
        self.choose("absolute")
        self.assertEqual(self.run_js(chosen), "inferno")

    def test_the_last_choice_counts_however_long_a_picture_takes_to_decode(self):
        self.open()
        before = self.map_of("vanilla")
        self.run_js("document.querySelector('[value=signed]').click()")
        self.run_js("document.querySelector('[value=absolute]').click()")
        self.run_js("new Promise((done) => setTimeout(done, 300))")
        self.assert_pixels(self.map_of("vanilla"), before, "absolute")

    # ---- words -----------------------------------------------------------------------------------------------

    def test_predictions_and_figures(self):
        self.make(self.folder / "figures.html", "--tolerance", "0.01", "--method", "smooth_grad", "integrated_gradients",
                  "--samples", "7", "--target", "heart", "--top", "3")
        self.open(self.folder / "figures.html")
        self.assertEqual(self.run_js("document.querySelector('h1').textContent"), "Why “heart”?")
        predictions = self.run_js("""[...document.querySelectorAll('#predictions li')].map((line) => [
            line.firstChild.textContent, parseFloat(line.querySelector('.percent').textContent.replace('<', '')),
            parseFloat(line.querySelector('.bar').style.width)])""")
        self.assertEqual(len(predictions), 3)
        self.assertEqual(predictions[0][0], SCENE.stem.removeprefix("scene_"))
        for _, shown, bar in predictions:
            self.assertAlmostEqual(shown, bar, delta=0.1)
        smooth, integrated = self.run_js("""[...document.querySelectorAll('.method')].map((method) => Object.fromEntries(
            [...method.querySelectorAll('dt')].map((term) => [term.textContent, term.nextSibling.textContent])))""")
        for figures in (smooth, integrated):
            self.assertEqual(figures["Target"], "heart")
            self.assertRegex(figures["Score"], r"^-?\d+\.\d+$")
            self.assertRegex(figures["Time"], r"^[\d.]+ m?s$")
        self.assertEqual(smooth["Draws"], "7")
        self.assertRegex(smooth["Standard error"], r"^[\d.]+ %$")
        self.assertNotIn("Completeness error", smooth)
        self.assertRegex(integrated["Completeness error"], r"^-?[\d.e-]+ \((< )?[\d.]+ %\)$")
        self.assertGreaterEqual(int(integrated["Gradients"]), 3)
        self.assertRegex(integrated["Estimated map error"], r"^[\d.]+ %$")
        self.assertEqual(integrated["Tolerance"], "met")

    def test_text_from_outside_stays_text(self):
        label = """<script>alert(1)</script>&"'</script><!--{{data}}"""
        lines = [label.encode(), b"gr\xf6\xdfe", b"<b>bold</b>"] + [b"x" * 90] * 5
        (self.folder / "labels.txt").write_bytes(b"\n".join(lines))
        image = self.folder / """<b>&"'<img src=x onerror=alert(2)>.png"""
        model = self.folder / "&lt;i&gt;<script>alert(3)<!--.pt"
        shutil.copy(SCENE, image)
        shutil.copy(EXAMPLES / "scenes.pt", model)
        page = self.folder / "hostile.html"
        self.make(page, "--target", "0", "--top", "8", image=image, model=model, labels=self.folder / "labels.txt")
        self.open(page, width=390)
        self.assertEqual(self.run_js("document.querySelectorAll('script').length"), 2)
        self.assertEqual(self.run_js("document.querySelectorAll('b, i, [onerror]').length"), 0)
        self.assertEqual(self.run_js("document.querySelector('h1').textContent"), f"Why “{label}”?")
        self.assertEqual(self.run_js("document.title"), f"{label}: {image.name}")
        about = self.run_js("document.getElementById('about').textContent")
        self.assertEqual(about, f"{image.name}, seen by {model.name}")
        self.assertEqual(self.run_js("document.getElementById('input').alt"), f"The picture {image.name}")
        labels = self.run_js("[...document.querySelectorAll('#predictions li span:first-child')].map(s => s.textContent)")
        self.assertTrue({label, "gr\ufffd\ufffde", "<b>bold</b>"} <= set(labels), labels)
        self.assert_no_sideways_scrolling(390)

    def test_a_part_of_the_model_is_named(self):
        page = self.folder / "part.html"
        self.make(page, "--at", "features.3", "--neuron", "features.6:2")
        self.open(page, width=800)
        self.assertEqual(self.run_js("document.querySelector('h1').textContent"), "Why “neuron features.6:2”?")
        self.assertTrue(self.run_js("document.getElementById('about').textContent").endswith("; at features.3"))
        self.assertEqual(self.run_js("document.querySelectorAll('#predictions li').length"), 5)

    # ---- for everyone ----------------------------------------------------------------------------------------

    def assert_no_sideways_scrolling(self, width):
        page, window = self.run_js("[document.scrollingElement.scrollWidth, innerWidth]")
        self.assertEqual(window, width)  # a phone's window grows with a page that is too wide
        self.assertLessEqual(page, window)

    def test_every_method_on_phones_and_desks_in_light_and_dark(self):
        helped = attribute("--help").stdout
        methods = helped.split("--method")[1].split("{")[1].split("}")[0].split(",")
        self.assertEqual(len(methods), 48)
        methods = [method for method in methods if method not in ("attention_rollout", "chefer")]  # the network has no attention
        page = self.folder / "all.html"
        self.make(page, "--samples", "4", "--steps", "8", "--method", *methods)
        backgrounds = {}
        for width in (390, 1280):
            for scheme in ("light", "dark"):
                with self.subTest(width=width, scheme=scheme):
                    self.open(page, width, scheme)
                    self.browser.screenshot(PICTURES / f"{width}_{scheme}.png")
                    backgrounds[scheme] = self.run_js("getComputedStyle(document.body).backgroundColor")
                    self.assert_no_sideways_scrolling(width)
                    for words, contrast in self.run_js(CONTRASTS):
                        self.assertGreaterEqual(contrast, 4.5, words)
        self.assertNotEqual(backgrounds["light"], backgrounds["dark"])
        titles = self.run_js("[...document.querySelectorAll('.method h3')].map(h => h.textContent)")
        self.assertEqual(len(set(titles)), len(methods))
        self.assertFalse([title for title in titles if "_" in title or title in methods], "a method has no title")

    def test_everything_has_a_name_and_the_keyboard_reaches_it(self):
        self.open()
        nodes = self.browser.call("Accessibility.getFullAXTree")["nodes"]
        named = {}
        for node in nodes:
            role = node.get("role", {}).get("value")
            if not node["ignored"] and role in ("slider", "radio", "combobox", "image", "heading", "group"):
                named.setdefault(role, []).append(node.get("name", {}).get("value", ""))
        for role, names in named.items():
            self.assertTrue(all(names), f"{role}: {names}")
        self.assertEqual(named["slider"], ["Opacity of all maps", "Opacity of Integrated Gradients",
                                           "Opacity of Vanilla gradient", "Opacity of Grad-CAM"])
        self.assertEqual(named["radio"], ["Strength", "For", "Against", "Both"])
        self.assertEqual(named["combobox"], ["Colour map"])
        self.assertEqual(len(named["image"]), 1 + 1 + len(METHODS))  # the input, the scale, the maps

        reached = []
        for _ in range(3 + len(METHODS)):
            self.browser.press("Tab", 9)
            reached.append(self.run_js("(e => e.ariaLabel || e.id || e.value)(document.activeElement)"))
        self.assertEqual(reached, ["absolute", "colormap", *named["slider"]])
        self.run_js("document.querySelector('[name=sign]').focus()")
        before = self.map_of("vanilla")
        self.browser.press("ArrowRight", 39)
        raises = "document.querySelector('.method canvas').getAttribute('aria-label').includes('raises the score')"
        self.browser.wait_for(raises)
        self.assertFalse(numpy.array_equal(self.map_of("vanilla"), before))

    # ---- the program -----------------------------------------------------------------------------------------

    def test_the_report_alone_and_where_it_cannot_be_written(self):
        folder = self.folder / "new" / "deep"
        self.make(folder / "report.html")
        self.assertEqual([p.name for p in folder.iterdir()], ["report.html"])
        self.make(folder / "report.html")  # takes the place of the old one
        self.assertEqual([p.name for p in folder.iterdir()], ["report.html"])
        scene = ["--model", EXAMPLES / "scenes.pt", "--image", SCENE, "--size", "96x96"]
        for report, words in ((folder, "is a directory"), (folder / "report.html" / "x.html", "cannot be made a folder")):
            done = attribute(*scene, "--report", report)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn(words, done.stderr)
        self.assertEqual([p.name for p in folder.iterdir()], ["report.html"])
        done = attribute(*scene)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--output or --report", done.stderr)


# Each piece of text with its contrast against what lies behind it, as WCAG 2 computes it.
CONTRASTS = """(() => {
  const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
  const luminance = (color) => rgb(color).slice(0, 3).map((level) => level / 255)
    .map((x) => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    const color = getComputedStyle(e).backgroundColor;
    return rgb(color)[3] === 0 ? behind(e.parentElement) : color;
  };
  return [...document.body.querySelectorAll('*')]
    .filter((e) => !['SCRIPT', 'NOSCRIPT'].includes(e.tagName) && !e.closest('noscript'))
    .filter((e) => [...e.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((e) => {
      const [low, high] = [luminance(getComputedStyle(e).color), luminance(behind(e))].sort((a, b) => a - b);
      return [e.textContent, (high + 0.05) / (low + 0.05)];
    });
})()"""


if __name__ == "__main__":
    unittest.main(verbosity=2)
