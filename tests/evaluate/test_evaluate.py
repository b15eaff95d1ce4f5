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
        for more, words in ((["--steps", 10], "--steps (\"default\", now 10)"), (["--seed", 3], "--seed (0, now 3)"),
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

    # ---- several seeds ---------------------------------------------------------------------------------------

    SEEDED = ["vanilla", "smooth_grad", "var_grad", "shapley_sampling"]
    said = {}  # the finished runs of `seeded`

    def seeded(self, name, *more, methods=SEEDED, metrics=("gini", "deletion"), model=MODEL):
        """The folder of a run over two pictures; `said` has what it said."""
        out = self.folder / "seeded" / name
        images = self.folder / "pictures of seeds"
        images.mkdir(exist_ok=True)
        for image in self.names[:2]:
            shutil.copy(self.images / image, images / image)
        done = evaluate("--model", model, *self.arguments(out, *more, images=images, methods=methods, metrics=metrics)[2:])
        self.assertEqual(done.returncode, 0, done.stderr)
        self.said[name] = done
        return out

    def three_seeds(self):
        """That of seeds 5, 6 and 7, made once."""
        if "three" not in self.said:
            self.seeded("three", "--seeds", 3, "--seed", 5, "--samples", 8)
        return self.folder / "seeded/three"

    def known(self, out, image, method):
        return json.loads((out / "images" / f"{image}.json").read_text())["methods"][method]

    def test_stability_is_the_correlation_of_the_seeds_maps(self):
        out = self.three_seeds()
        for image in self.names[:2]:
            folders = [self.folder / "seeds" / image / str(seed) for seed in (5, 6, 7)]
            for seed, folder in zip((5, 6, 7), folders):
                done = attribute("--model", MODEL, "--image", self.images / image, "--size", f"{SIZE}x{SIZE}", "--output",
                                 folder, "--method", *self.SEEDED[1:], "--samples", 8, "--seed", seed)
                self.assertEqual(done.returncode, 0, done.stderr)
            for method in self.SEEDED[1:]:
                values = torch.stack([torch.load(folder / f"{method}.pt")[0].double() for folder in folders])
                maps = (values if method == "shapley_sampling" else values.abs()).sum(1).flatten(1).numpy()
                expected = numpy.corrcoef(maps)[numpy.triu_indices(3, 1)].mean()
                known = self.known(out, image, method)
                self.assertAlmostEqual(known["stability"], expected, 9, (image, method))
                if method == "var_grad":  # it states the error of the mean gradient, which is not its map
                    self.assertIsNone(known["error_ratio"])
                    continue
                stated = [json.loads((folder / "prediction.json").read_text())["methods"][method]["standard_error"]
                          * float(value.norm()) for folder, value in zip(folders, values)]
                spread = float(values.flatten(1).var(0, unbiased=True).sum())
                self.assertAlmostEqual(known["error_ratio"], math.sqrt(spread / numpy.square(stated).mean()), 5)

    def test_the_stated_error_is_the_spread_between_seeds(self):
        # 27,648 values that are nearly independent: an error that were off by a root of two would show.
        for image in self.names[:2]:
            self.assertAlmostEqual(self.known(self.three_seeds(), image, "smooth_grad")["error_ratio"], 1, delta=0.15)

    def test_more_samples_are_more_stable(self):
        few, many = (self.seeded(f"{samples} samples", "--seeds", 2, "--samples", samples, methods=["smooth_grad"],
                                 metrics=["gini"]) for samples in (4, 64))
        for image in self.names[:2]:
            low, high = (self.known(out, image, "smooth_grad")["stability"] for out in (few, many))
            self.assertLess(low, 0.9)
            self.assertGreater(high, low + 0.05)
            self.assertLess(high, 1)

    def test_methods_without_a_seed_have_no_stability(self):
        out = self.three_seeds()
        self.assertEqual({method for _, method, metric in rows(out) if metric in ("stability", "error_ratio")},
                         set(self.SEEDED[1:]))
        for image in self.names[:2]:
            self.assertEqual(set(self.known(out, image, "vanilla")), {"seconds", "forward_seconds", "metrics", "curves"})
        for metric in page_data(out)["metrics"][2:]:
            self.assertEqual(set(metric["results"]), set(self.SEEDED[1:]))
        end = self.said["three"].stdout.split("stability (higher is better)")[1].split("cost (")[0]
        self.assertNotIn("vanilla", end)

    def test_the_metrics_are_those_of_the_first_seed(self):
        several = self.three_seeds()
        one = self.seeded("one", "--seed", 5, "--samples", 8)
        self.assertEqual(rows(one), {key: value for key, value in rows(several).items()
                                     if key[2] not in ("stability", "error_ratio")})
        for image in self.names[:2]:
            for method in self.SEEDED:
                a, b = (self.known(out, image, method) for out in (one, several))
                self.assertEqual((a["metrics"], a["curves"]), (b["metrics"], b["curves"]))
                self.assertNotIn("stability", a)
        self.assertEqual([metric["name"] for metric in page_data(one)["metrics"]], ["deletion", "gini"])
        self.assertNotIn("stability", self.said["one"].stdout)

    def test_stability_in_table_page_and_terminal_is_the_records(self):
        out = self.three_seeds()
        metrics = {metric["name"]: metric for metric in page_data(out)["metrics"]}
        self.assertEqual(list(metrics), ["deletion", "gini", "stability", "error_ratio"])
        self.assertEqual((metrics["stability"]["higher"], metrics["error_ratio"]["higher"]), (True, None))
        self.assertIn("3 seeds", metrics["stability"]["meaning"])
        self.assertEqual(list(rows(out))[2:6], [(self.names[0], "smooth_grad", name)
                                                for name in ("gini", "deletion", "stability", "error_ratio")])
        lines = self.said["three"].stdout.splitlines()
        for name, title in (("stability", "stability (higher is better)"), ("error_ratio", "error_ratio (1 is right)")):
            for method in self.SEEDED[1:]:
                values = [self.known(out, image, method)[name] for image in self.names[:2]]
                table = [rows(out)[image, method, name] for image in self.names[:2]]
                result = metrics[name]["results"][method]
                shown = next(line for line in lines[lines.index(title):] if line.split()[:1] == [method])
                if (name, method) == ("error_ratio", "var_grad"):
                    self.assertTrue(all(map(math.isnan, table)), table)
                    self.assertEqual(result, {"count": 0})
                    self.assertIn("no value", shown)
                    continue
                self.assertEqual(values, table)
                self.assertEqual(result["count"], 2)
                self.assertAlmostEqual(result["mean"], numpy.mean(values), 12)
                # Of two pictures the resamples' extremes are the pictures: each in a quarter of them.
                self.assertAlmostEqual(result["low"], min(values), 12)
                self.assertAlmostEqual(result["high"], max(values), 12)
                self.assertAlmostEqual(float(shown.split()[1]), result["mean"], delta=1e-3 * abs(result["mean"]))

    def test_a_run_with_seeds_goes_on(self):
        whole, out = self.three_seeds(), self.folder / "seeded/resumed"
        shutil.copytree(whole, out)
        more = ("--seeds", 3, "--seed", 5, "--samples", 8)
        first, second = (out / "images" / f"{image}.json" for image in self.names[:2])
        kept = first.read_bytes()
        record = json.loads(second.read_text())
        # As if it had ended before the stability of one method, and before another.
        del record["methods"]["smooth_grad"]["stability"], record["methods"]["shapley_sampling"]
        second.write_text(json.dumps(record))
        (out / "metrics.csv").unlink()
        self.seeded("resumed", *more)
        self.assertEqual((out / "metrics.csv").read_bytes(), (whole / "metrics.csv").read_bytes())
        self.assertEqual(first.read_bytes(), kept)
        # A further metric does not compute the stability again: what is written there stays.
        record = json.loads(second.read_text())
        record["methods"]["smooth_grad"]["stability"] = 0.125
        second.write_text(json.dumps(record))
        self.seeded("resumed", *more, metrics=("gini", "entropy"))
        known = self.known(out, self.names[1], "smooth_grad")
        self.assertEqual(known["stability"], 0.125)
        self.assertIn("entropy", known["metrics"])

    def test_other_seeds_are_refused(self):
        out, images = self.three_seeds(), self.folder / "pictures of seeds"
        files = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        for more, words in (((), "--seeds (3, now 1)"), (("--seeds", 4), "--seeds (3, now 4)")):
            message = self.fails(1, *self.arguments(out, "--seed", 5, "--samples", 8, *more, images=images,
                                                    methods=self.SEEDED, metrics=["gini"]))
            self.assertIn(words, message)
        self.assertEqual({path: path.read_bytes() for path in out.rglob("*") if path.is_file()}, files)

    def test_a_map_that_is_not_finite_has_no_stability(self):
        class Broken(torch.nn.Module):
            def forward(self, x):
                return x.flatten(1)[:, :4] * float("inf")

        model = self.folder / "broken.pt"
        torch.jit.trace(Broken(), torch.ones(1, 3, SIZE, SIZE)).save(str(model))
        out = self.seeded("broken", "--seeds", 2, "--samples", 4, methods=["smooth_grad"], metrics=["gini"], model=model)
        for image in self.names[:2]:
            known = self.known(out, image, "smooth_grad")
            self.assertEqual((known["stability"], known["error_ratio"]), (None, None))
        self.assertEqual([metric["results"]["smooth_grad"]["count"] for metric in page_data(out)["metrics"]], [0, 0, 0])

    def test_wrong_numbers_of_seeds(self):
        for seeds in ("0", "-1", "101", "1.5", "0,1"):
            message = self.fails(2, *self.arguments(self.folder / "o5", "--seeds", seeds))
            self.assertIn("--seeds", message)
        self.assertFalse((self.folder / "o5").exists())
        out = self.seeded("none", "--seeds", 3, methods=["vanilla", "grad_cam"], metrics=["gini"])
        self.assertIn("warning: --seeds has no effect on vanilla, grad_cam; it is for smooth_grad, ",
                      self.said["none"].stderr)
        self.assertEqual([metric["name"] for metric in page_data(out)["metrics"]], ["gini"])

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

    @unittest.skipUnless("SALIENCE_CHROMIUM" in os.environ, "there is no Chromium")
    def test_the_page_of_several_seeds(self):
        from browser import Browser

        browser = Browser(os.environ["SALIENCE_CHROMIUM"])
        self.addCleanup(browser.close)
        browser.look(1280)
        browser.open(self.three_seeds() / "index.html")
        browser.wait_for("document.querySelectorAll('.metric').length === 5")
        metrics = page_data(self.three_seeds())["metrics"]
        for i, better, best in ((3, "↑ higher is better", 1), (4, "1 is right", 0)):
            metric, card = metrics[i - 1], f".metric:nth-child({i})"
            text = lambda part: browser.run(f"document.querySelector('{card} {part}').textContent")  # noqa: E731
            self.assertEqual(text("h3"), f"{metric['name']} {better}")
            self.assertEqual(text("p"), metric["meaning"])
            methods = browser.run(f"[...document.querySelectorAll('{card} tbody th')].map((e) => e.textContent)")
            self.assertEqual(methods, self.SEEDED[1:])
            self.assertEqual(browser.run(f"document.querySelectorAll('{card} .best').length"), best)
        self.assertIn("no value", browser.run("document.querySelector('.metric:nth-child(4)').textContent"))
        for event in browser.events:
            self.assertNotIn(event["method"], ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
