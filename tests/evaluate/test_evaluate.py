"""The program `evaluate`: its figures against numpy and torch on the maps of `attribute`, its intervals against a
bootstrap of numpy's, what it does when it is killed, meets a bad picture or other settings, and its page in a browser."""

import csv
import json
import math
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import numpy
import torch
from peers import EXAMPLES, MEAN, STD, attribute, program
from PIL import Image

MODEL = EXAMPLES / "scenes.pt"
METHODS = ["vanilla", "integrated_gradients", "grad_cam"]
METRICS = ["deletion", "road", "pointing", "energy", "iou", "gini"]
SIZE = 96


def command(*arguments):
    return [program("SALIENCE_EVALUATE"), *map(str, arguments)]


def evaluate(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, errors="replace", timeout=300)


def rows(folder):
    """(image, method, metric): value."""
    with open(folder / "metrics.csv", newline="") as file:
        return {(row["image"], row["method"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}


def page_data(folder):
    """What the page shows."""
    text = (folder / "index.html").read_text()
    return json.loads(text.split('<script id="data" type="application/json">')[1].split("</script>")[0])


class Evaluate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.images, cls.masks, cls.out = (cls.folder / name for name in ("images", "masks", "out"))
        cls.images.mkdir(), cls.masks.mkdir()
        for mask in EXAMPLES.glob("scene_*_mask.png"):
            name = mask.name.replace("_mask", "")
            shutil.copy(mask, cls.masks / name)
            shutil.copy(EXAMPLES / name, cls.images / name)
        cls.names = sorted(path.name for path in cls.images.iterdir())
        assert len(cls.names) == 8
        cls.done = evaluate(*cls.arguments(cls.out))
        assert (cls.done.returncode, cls.done.stderr) == (0, ""), cls.done.stderr

    @classmethod
    def arguments(cls, out, *more, images=None, masks=None, methods=METHODS, metrics=METRICS):
        return ["--model", MODEL, "--labels", EXAMPLES / "labels.txt", "--images", images or cls.images,
                "--masks", masks or cls.masks, "--size", f"{SIZE}x{SIZE}", "--method", ",".join(methods),
                "--metrics", *metrics, "--output", out, *more]

    def fails(self, status, *arguments):
        done = evaluate(*arguments)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stderr

    # ---- figures ---------------------------------------------------------------------------------------------

    def pixel_map(self, image, method):
        """One number a pixel (H,W) of the map that `attribute` gives."""
        folder = self.folder / "maps" / image
        if not folder.exists():
            done = attribute("--model", MODEL, "--image", self.images / image, "--size", f"{SIZE}x{SIZE}", "--output",
                             folder, "--method", *METHODS)
            self.assertEqual(done.returncode, 0, done.stderr)
        values = torch.load(folder / f"{method}.pt")[0].double()
        return (values.abs() if method == "vanilla" else values).sum(0)

    def test_the_rows_are_every_picture_method_and_metric(self):
        self.assertEqual(list(rows(self.out)),
                         [(name, method, metric) for name in self.names for method in METHODS for metric in METRICS])

    def test_gini(self):
        for (image, method, metric), value in rows(self.out).items():
            if metric == "gini" and image in self.names[:3]:
                sizes = self.pixel_map(image, method).abs().flatten().sort().values.numpy()
                differences = numpy.abs(sizes[:, None] - sizes[None, :]).mean()  # its definition
                self.assertAlmostEqual(value, differences / (2 * sizes.mean()), 9, (image, method))

    def test_energy(self):
        for (image, method, metric), value in rows(self.out).items():
            if metric == "energy" and image in self.names[:3]:
                positive = self.pixel_map(image, method).clamp_min(0)
                inside = torch.from_numpy(numpy.asarray(Image.open(self.masks / image).convert("L")) != 0)
                self.assertAlmostEqual(value, float(positive[inside].sum() / positive.sum()), 9, (image, method))

    def test_deletion(self):
        model = torch.jit.load(MODEL).eval()
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
        for image in self.names[:2]:
            pixels = torch.from_numpy(numpy.asarray(Image.open(self.images / image).convert("RGB")).copy())
            x = (pixels.permute(2, 0, 1).float() / 255 - mean) / std
            label = int(model(x[None]).argmax())
            for method in METHODS:
                order = self.pixel_map(image, method).flatten().sort(descending=True, stable=True).indices
                counts = [int(SIZE * SIZE * step / 100 + 0.5) for step in range(101)]
                variants = x.flatten(1).repeat(101, 1, 1)
                for variant, count in zip(variants, counts):
                    variant[:, order[:count]] = 0
                with torch.no_grad():
                    scores = model(variants.view(101, 3, SIZE, SIZE)).softmax(1)[:, label].double().numpy()
                area = numpy.trapezoid(scores, numpy.array(counts) / SIZE**2)
                self.assertAlmostEqual(rows(self.out)[image, method, "deletion"], area, 5, (image, method))
                record = json.loads((self.out / "images" / f"{image}.json").read_text())
                curve = record["methods"][method]["curves"]["deletion"]["score"]
                numpy.testing.assert_allclose(curve, scores, atol=1e-5)

    def test_intervals_are_the_bootstraps(self):
        data, random, known = page_data(self.out), numpy.random.default_rng(1), rows(self.out)
        self.assertEqual([metric["name"] for metric in data["metrics"]], METRICS)
        for metric in data["metrics"]:
            for method, result in metric["results"].items():
                values = numpy.array([known[image, method, metric["name"]] for image in self.names])
                self.assertAlmostEqual(result["mean"], values.mean(), 12)
                means = values[random.integers(0, len(values), (20000, len(values)))].mean(1)
                low, high = numpy.percentile(means, [2.5, 97.5])
                slack = 0.15 * (high - low) + 1e-12
                self.assertAlmostEqual(result["low"], low, delta=slack, msg=(metric["name"], method))
                self.assertAlmostEqual(result["high"], high, delta=slack, msg=(metric["name"], method))

    def test_curves_are_means_over_the_pictures(self):
        data = page_data(self.out)
        self.assertEqual(set(data["curves"]), {"deletion", "road_strongest_first", "road_weakest_first"})
        for name, curve in data["curves"].items():
            for method in METHODS:
                scores = [json.loads(path.read_text())["methods"][method]["curves"][name]["score"]
                          for path in (self.out / "images").iterdir()]
                numpy.testing.assert_allclose(curve["methods"][method]["mean"], numpy.mean(scores, 0), atol=1e-12)

    def test_the_terminal_shows_the_means(self):
        lines = self.done.stdout.splitlines()
        for metric in page_data(self.out)["metrics"]:
            begin = next(i for i, line in enumerate(lines) if line.startswith(metric["name"] + " ("))
            for line in lines[begin + 1:begin + 1 + len(METHODS)]:
                method, mean, low, high = line.split()
                result = metric["results"][method]
                for shown, exact in ((mean, "mean"), (low, "low"), (high, "high")):
                    self.assertAlmostEqual(float(shown), result[exact], delta=1e-3 * abs(result[exact]))

    def test_cost_is_in_forward_passes_of_the_same_run(self):
        data = page_data(self.out)
        records = [json.loads(path.read_text()) for path in (self.out / "images").iterdir()]
        for method in METHODS:
            own, forward = (numpy.mean([record["methods"][method][name] for record in records])
                            for name in ("seconds", "forward_seconds"))
            self.assertAlmostEqual(data["costs"][method]["forwards"], own / forward, delta=1e-6 * own / forward)
        # 50 gradients against one.
        self.assertGreater(data["costs"]["integrated_gradients"]["forwards"], 5 * data["costs"]["vanilla"]["forwards"])

    def test_every_metric_runs(self):
        out = self.folder / "every"
        metrics = ["insertion", "infidelity", "sensitivity", "completeness", "confidence_drop", "randomization",
                   "entropy"]
        images = self.folder / "two"
        images.mkdir()
        for name in self.names[:2]:
            shutil.copy(self.images / name, images / name)
        done = evaluate(*self.arguments(out, "--steps", 20, images=images, metrics=metrics))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        values = rows(out)
        self.assertTrue(all(math.isfinite(value) for value in values.values()), values)
        for image in self.names[:2]:
            of = lambda method, metric: values[image, method, metric]  # noqa: E731
            # What the axiom is about, and what is no share of anything.
            self.assertLess(of("integrated_gradients", "completeness"), 0.05)
            self.assertGreater(of("vanilla", "completeness"), 0.2)
            self.assertLess(of("vanilla", "randomization"), 0.7)
            self.assertGreater(of("vanilla", "sensitivity"), 0)

    # ---- going on --------------------------------------------------------------------------------------------

    def test_a_killed_run_goes_on_and_ends_alike(self):
        out = self.folder / "killed"
        process = subprocess.Popen(command(*self.arguments(out)), stdout=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while len(list(out.glob("images/scene_*.json"))) < 2 and time.monotonic() < end:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        self.assertEqual(process.wait(), -signal.SIGKILL)
        before = {path: path.read_bytes() for path in out.glob("images/scene_*.json")}
        self.assertTrue(2 <= len(before) < 8, f"killed after {len(before)} pictures")
        self.assertFalse((out / "metrics.csv").exists())
        done = evaluate(*self.arguments(out))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((out / "metrics.csv").read_bytes(), (self.out / "metrics.csv").read_bytes())
        for path, text in before.items():  # which holds times: computed again, it would differ
            self.assertEqual(path.read_bytes(), text)

    def test_a_further_metric_and_method_are_added(self):
        out = self.folder / "added"
        known = []
        for methods, metrics in ((METHODS[:1], ["gini"]), (METHODS[:2], ["gini"]), (METHODS[:2], ["gini", "pointing"])):
            done = evaluate(*self.arguments(out, methods=methods, metrics=metrics))
            self.assertEqual(done.returncode, 0, done.stderr)
            record = json.loads((out / "images" / f"{self.names[0]}.json").read_text())
            known.append(record["methods"][METHODS[0]])
        self.assertEqual(known[0], known[1])  # also its times, of the run that measured them
        whole = rows(self.out)
        self.assertEqual(rows(out), {(name, method, metric): whole[name, method, metric] for name in self.names
                                     for method in METHODS[:2] for metric in ("gini", "pointing")})

    def test_other_settings_are_refused(self):
        files = {path: path.read_bytes() for path in self.out.rglob("*") if path.is_file()}
        for more, words in ((["--steps", 10], "--steps (50, now 10)"), (["--seed", 3], "--seed (0, now 3)"),
                            (["--sign", "signed"], '--sign ("auto", now "signed")')):
            message = self.fails(1, *self.arguments(self.out, *more))
            self.assertEqual(len(message.splitlines()), 1, message)
            self.assertIn(words, message)
            self.assertIn("choose another --output", message)
        other = self.folder / "other.pt"
        torch.jit.trace(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIZE * SIZE, 8)),
                        torch.zeros(1, 3, SIZE, SIZE)).save(other)
        self.assertIn("another --model", self.fails(1, *self.arguments(self.out, "--model", other)[2:]))
        self.assertEqual({path: path.read_bytes() for path in self.out.rglob("*") if path.is_file()}, files)

    # ---- outputs that are not K logits -----------------------------------------------------------------------

    def network(self, name, *last):
        torch.manual_seed(5)
        net = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(432, 6), torch.nn.Tanh(), *last)
        path = self.folder / f"{name}.pt"
        torch.jit.trace(net.eval(), torch.zeros(1, 3, SIZE, SIZE)).save(str(path))
        return path, net

    def measure(self, model, out, *more, metrics):
        """metrics.csv and what was said, of two pictures."""
        images = self.folder / "pair"
        images.mkdir(exist_ok=True)
        for name in self.names[:2]:
            shutil.copy(self.images / name, images / name)
        done = evaluate("--model", model, "--images", images, "--size", f"{SIZE}x{SIZE}", "--method",
                        "vanilla,integrated_gradients", "--metrics", *metrics, "--dtype", "float64", "--output", out, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return rows(out), done.stderr.splitlines()

    def test_a_single_logit_is_judged_by_its_sigmoid(self):
        linear = torch.nn.Linear(6, 1)
        model, net = self.network("single", linear)
        metrics = ["deletion", "insertion", "road", "confidence_drop", "completeness", "infidelity", "randomization"]
        ours, _ = self.measure(model, self.folder / "single", metrics=metrics)
        two = torch.nn.Linear(6, 2)  # with the same difference of logits, and so the same probabilities
        with torch.no_grad():
            two.weight.copy_(torch.cat([torch.zeros_like(linear.weight), linear.weight]))
            two.bias.copy_(torch.cat([torch.zeros_like(linear.bias), linear.bias]))
        pair = self.folder / "pair.pt"
        torch.jit.trace(torch.nn.Sequential(*net[:-1], two).eval(), torch.zeros(1, 3, SIZE, SIZE)).save(str(pair))
        mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (MEAN, STD))
        for image in self.names[:2]:
            record = json.loads((self.folder / "single/images" / f"{image}.json").read_text())
            pixels = torch.from_numpy(numpy.asarray(Image.open(self.images / image).convert("RGB")).copy())
            x = ((pixels.permute(2, 0, 1).double() / 255).float().double() - mean) / std
            logit = float(net.double()(x[None])[0, 0])
            self.assertEqual(record["class"], int(logit > 0))
            curve = record["methods"]["vanilla"]["curves"]["deletion"]["score"]
            probability = 1 / (1 + math.exp(-abs(logit)))
            self.assertAlmostEqual(curve[0], probability, 5)
            empty = float(net(torch.zeros_like(x)[None])[0, 0])
            self.assertAlmostEqual(curve[-1], 1 / (1 + math.exp(-empty if logit > 0 else empty)), 5)
            self.assertNotAlmostEqual(curve[0], curve[-1], 3)
        # The map of class 1 is the same as the two classes'; of class 0 the two-class net's logit is constant.
        theirs, _ = self.measure(pair, self.folder / "pair out", metrics=["deletion", "road", "confidence_drop"])
        for (image, method, metric), value in theirs.items():
            record = json.loads((self.folder / "single/images" / f"{image}.json").read_text())
            if record["class"] == 1:
                self.assertAlmostEqual(ours[image, method, metric], value, 9, (image, method, metric))
        for image in self.names[:2]:
            self.assertLess(ours[image, "integrated_gradients", "completeness"], 0.01)

    def test_a_model_that_ends_in_a_softmax_is_judged_by_its_probabilities(self):
        model, net = self.network("softmax", torch.nn.Linear(6, 4), torch.nn.Softmax(1))
        metrics = ["deletion", "confidence_drop", "completeness"]
        noticed, said = self.measure(model, self.folder / "noticed", metrics=metrics)
        self.assertEqual(len(said), 1, said)
        self.assertIn("probabilities already", said[0])
        stated, said = self.measure(model, self.folder / "stated", "--output-type", "probabilities", metrics=metrics)
        self.assertEqual(said, [])
        self.assertEqual(noticed, stated)
        mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (MEAN, STD))
        for image in self.names[:2]:
            pixels = torch.from_numpy(numpy.asarray(Image.open(self.images / image).convert("RGB")).copy())
            x = ((pixels.permute(2, 0, 1).double() / 255).float().double() - mean) / std
            record = json.loads((self.folder / "noticed/images" / f"{image}.json").read_text())
            curve = record["methods"]["vanilla"]["curves"]["deletion"]["score"]
            self.assertAlmostEqual(curve[0], float(net.double()(x[None]).max()), 5)
            self.assertLess(noticed[image, "integrated_gradients", "completeness"], 0.01)
        refused = evaluate("--model", model, "--images", self.folder / "pair", "--size", f"{SIZE}x{SIZE}", "--method",
                           "vanilla", "--metrics", "deletion", "--dtype", "float64", "--output", self.folder / "stated")
        self.assertEqual(refused.returncode, 1)
        self.assertIn('--output-type ("probabilities", now "auto")', refused.stderr)

    # ---- what is wrong ---------------------------------------------------------------------------------------

    def test_bad_pictures_are_skipped_and_counted(self):
        images, masks, out = (self.folder / "mixed" / name for name in ("images", "masks", "out"))
        images.mkdir(parents=True), masks.mkdir()
        good, lonely, unmasked = self.names[:3]
        hostile = 'a "b",<c>.png'
        shutil.copy(self.images / good, images / hostile), shutil.copy(self.masks / good, masks / hostile)
        shutil.copy(self.images / lonely, images), shutil.copy(self.images / unmasked, images)
        (masks / lonely).write_text("no mask")
        (images / "bad.png").write_text("no picture")
        (images / "notes.txt").write_text("nothing to say about")
        done = evaluate(*self.arguments(out, images=images, masks=masks, methods=["vanilla"],
                                        metrics=["gini", "pointing"]))
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stderr.splitlines()
        self.assertEqual([line.split(": ")[1] for line in lines if line.startswith("skipped: ")],
                         [str(images / "bad.png"), str(masks / lonely)], lines)
        self.assertEqual(len(lines), 2)
        self.assertIn("2 pictures, 2 skipped", done.stdout)
        self.assertIn("of 1 pictures", done.stdout)
        values = rows(out)
        self.assertEqual({image for image, _, _ in values}, {hostile, unmasked})
        self.assertEqual(values[hostile, "vanilla", "pointing"], rows(self.out)[good, "vanilla", "pointing"])
        self.assertTrue(math.isnan(values[unmasked, "vanilla", "pointing"]))
        self.assertEqual(page_data(out)["skipped"], 2)

    def test_no_good_picture_is_an_error(self):
        images = self.folder / "none"
        images.mkdir()
        out = self.folder / "nothing"
        self.assertIn("there are no pictures in it", self.fails(1, *self.arguments(out, images=images)))
        (images / "bad.png").write_text("no picture")
        self.assertIn("none of its pictures can be read", self.fails(1, *self.arguments(out, images=images)))
        missing = self.folder / "missing"
        self.assertIn("is no folder", self.fails(1, *self.arguments(self.folder / "nothing else", images=missing)))

    def test_wrong_usage(self):
        message = self.fails(2, *self.arguments(self.folder / "o4", metrics=["gini", "nonsense"]))
        self.assertIn("nonsense", message)
        for name in METRICS:
            self.assertIn(name, message)
        message = self.fails(2, *self.arguments(self.folder / "o4", methods=["gradcam"]))
        self.assertIn("the nearest are 'grad_cam'", message)
        without = [a for a in self.arguments(self.folder / "o4") if a not in ("--masks", self.masks)]
        self.assertIn("pointing needs --masks", self.fails(2, *without))
        self.assertFalse((self.folder / "o4").exists())

    # ---- the page --------------------------------------------------------------------------------------------

    @unittest.skipUnless("SALIENCE_CHROMIUM" in os.environ, "there is no Chromium")
    def test_the_page(self):
        from browser import Browser

        browser = Browser(os.environ["SALIENCE_CHROMIUM"])
        self.addCleanup(browser.close)
        for width in (1280, 390):
            browser.look(width)
            browser.open(self.out / "index.html")
            browser.wait_for("document.querySelectorAll('.example').length === 4")
            self.assertLessEqual(browser.run("document.documentElement.scrollWidth"), width)
        self.assertEqual(browser.run("document.querySelectorAll('.metric').length"), len(METRICS) + 1)
        for i, metric in enumerate(page_data(self.out)["metrics"], 1):
            means = {method: result["mean"] for method, result in metric["results"].items()}
            best = (max if metric["higher"] else min)(means.values())
            shown = f"[...document.querySelectorAll('.metric:nth-child({i}) .best th')].map((e) => e.textContent)"
            self.assertEqual(browser.run(shown), [method for method in METHODS if means[method] == best], metric["name"])
        self.assertEqual(browser.run("document.querySelectorAll('#curves polyline').length"), 3 * len(METHODS))
        self.assertEqual(browser.run("document.querySelectorAll('.example img').length"), 4 * (1 + len(METHODS)))
        self.assertTrue(browser.run("Promise.all([...document.images].map((i) => i.decode())).then(() => true)"))
        browser.run("document.querySelector('#legend input').click()")
        hidden = "[...document.querySelectorAll('#curves g')].filter((g) => g.style.display === 'none').length"
        self.assertEqual(browser.run(hidden), 3)
        for event in browser.events:
            self.assertNotIn(event["method"], ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"))
            if event["method"] == "Network.requestWillBeSent":
                self.assertRegex(event["params"]["request"]["url"], "^(data|file):")


if __name__ == "__main__":
    unittest.main(verbosity=2)
