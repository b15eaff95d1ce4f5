"""The program `attribute_dataset`: its shards against the program `attribute`, its aggregates against numpy on the shards, the
same bytes from any number of ranks and after any number of kills, and what it does with bad samples and damaged results."""

import csv
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from fractions import Fraction

import numpy
import torch
from peers import EXAMPLES, attribute, program
from PIL import Image

MODEL, SIZE, COUNT, SHARD = EXAMPLES / "scenes.pt", 96, 44, 6
MPIRUN = os.environ.get("SALIENCE_MPIRUN")
needs_mpi = unittest.skipUnless(MPIRUN, "the program was built without MPI")
STATUS = ("done", "non_finite", "failed", "unreadable")


def command(*arguments, ranks=0):
    mpi = [MPIRUN, "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", ranks] if ranks else []
    return [*map(str, [*mpi, program("SALIENCE_ATTRIBUTE_DATASET"), *arguments])]


def dataset(*arguments, ranks=0, environment=None):
    return subprocess.run(command(*arguments, ranks=ranks), capture_output=True, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, timeout=300, env=environment)  # fmt: skip


def rows(folder):
    with open(folder / "index.csv", newline="") as file:
        return list(csv.DictReader(file))


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def shards(folder):
    return [dict(torch.load(path)) for path in sorted(folder.glob("shards/[0-9]*[0-9].pt"))]


def files(folder, *without):
    """All that is in the folder but the log, which holds times."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and path.name not in ("log.jsonl", *without)}  # fmt: skip


class AttributeDataset(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.images, cls.masks, cls.out = (cls.folder / name for name in ("images", "masks", "out"))
        scenes = sorted(path for path in EXAMPLES.glob("scene_*.png") if "mask" not in path.name)
        for i in range(COUNT):
            scene = scenes[i % len(scenes)]
            for source, target in ((scene, cls.images), (scene.with_name(scene.stem + "_mask.png"), cls.masks)):
                (target / f"part{i // 20}").mkdir(parents=True, exist_ok=True)
                picture = numpy.roll(numpy.asarray(Image.open(source)), 3 * (i // len(scenes)), axis=1)
                Image.fromarray(picture).save(target / f"part{i // 20}" / f"{i:03}.png")
        cls.names = sorted(path.relative_to(cls.images).as_posix() for path in cls.images.rglob("*.png"))
        cls.done = dataset(*cls.arguments(cls.out))
        assert (cls.done.returncode, cls.done.stderr) == (0, ""), cls.done.stderr

    @classmethod
    def arguments(cls, out, *more, **options):
        """Those of the run that all tests look at, but for `options`; an option of None is left out."""
        options = {"model": MODEL, "labels": EXAMPLES / "labels.txt", "size": f"{SIZE}x{SIZE}", "steps": 4,
                   "method": "integrated_gradients,grad_cam", "batch": 4, "shard": SHARD, "threads": 1, "output": out} | (
            {} if "manifest" in options else {"images": cls.images, "masks": cls.masks, "metrics": "pointing,gini"}
        ) | options  # fmt: skip
        return [word for name, value in options.items() if value is not None for word in (f"--{name}", value)] + list(more)

    def fails(self, status, *arguments):
        done = dataset(*arguments)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertNotIn("terminate", done.stderr)
        return done.stderr

    def manifest(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    # ---- the results ------------------------------------------------------------------------------------------

    def test_the_index_is_in_the_order_of_the_names(self):
        index = rows(self.out)
        self.assertEqual([row["path"] for row in index], self.names)
        self.assertEqual([int(row["sample"]) for row in index], list(range(COUNT)))
        self.assertEqual([int(row["shard"]) for row in index], [i // SHARD for i in range(COUNT)])
        self.assertEqual([int(row["position"]) for row in index], [i % SHARD for i in range(COUNT)])
        self.assertEqual({row["status"] for row in index}, {"done"})
        loaded = shards(self.out)
        for row in index:
            shard, position = loaded[int(row["shard"])], int(row["position"])
            self.assertEqual(int(shard["sample"][position]), int(row["sample"]))
            self.assertEqual(int(shard["target"][position]), int(row["target"]))
            self.assertEqual(float(shard["score"][position]), float(row["score"]))

    def test_the_values_are_attributes(self):
        loaded = shards(self.out)
        for i in (0, 7, COUNT - 1):
            folder = self.folder / "one" / str(i)
            done = attribute("--model", MODEL, "--image", self.images / self.names[i], "--size", f"{SIZE}x{SIZE}",
                             "--method", "integrated_gradients", "--method", "grad_cam", "--steps", 4, "--output", folder)  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stderr)
            for method in ("integrated_gradients", "grad_cam"):
                truth = torch.load(folder / f"{method}.pt")[0]
                ours = loaded[i // SHARD][method][i % SHARD]
                self.assertEqual(ours.shape, truth.shape)
                # Another batch size rounds differently.
                self.assertLess(float((ours - truth).norm() / truth.norm()), 1e-3, (i, method))
            predicted = json.loads((folder / "prediction.json").read_text())
            self.assertEqual(int(rows(self.out)[i]["target"]), predicted["target"])
            self.assertAlmostEqual(float(rows(self.out)[i]["score"]), predicted["score"], 3)

    def test_pictures_are_attributes(self):
        out, folder = self.folder / "pictures", self.folder / "picture"
        done = dataset(*self.arguments(out, "--no-raw", views="overlay,relu_hot", batch=1))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(list((out / "pictures").iterdir())), COUNT * 4)
        self.assertEqual(set(shards(out)[0]), {"sample", "target", "score"})
        attribute("--model", MODEL, "--image", self.images / self.names[5], "--size", f"{SIZE}x{SIZE}", "--method",
                  "integrated_gradients", "--method", "grad_cam", "--steps", 4, "--output", folder, "--threads", 1)  # fmt: skip
        for method in ("integrated_gradients", "grad_cam"):
            for view in ("overlay", "relu_hot"):
                name = f"{method}_{view}.png"
                self.assertEqual((out / "pictures" / f"000000005_{name}").read_bytes(), (folder / name).read_bytes(), name)

    def test_the_log_has_a_record_of_each_sample(self):
        records = sorted(logged(self.out), key=lambda record: record["sample"])
        self.assertEqual([record["sample"] for record in records], list(range(COUNT)))
        for record, row in zip(records, rows(self.out)):
            self.assertEqual((record["path"], record["status"], record["target"], record["score"]),
                             (row["path"], row["status"], int(row["target"]), float(row["score"])))
            self.assertGreater(record["probability"], 0.3)
            self.assertLess(record["methods"]["integrated_gradients"]["relative_completeness_error"], 2.0)
            self.assertEqual(set(record["seconds"]), {"read", "compute", "write"})
            self.assertTrue(all(seconds > 0 for seconds in record["seconds"].values()))

    def test_the_aggregates_are_numpys(self):
        summary = json.loads((self.out / "aggregates.json").read_text())
        records = logged(self.out)
        self.assertEqual(summary["samples"], COUNT)
        self.assertEqual(summary["status"], {"done": COUNT, "non_finite": 0, "failed": 0, "unreadable": 0})
        known = {("probability", ""): [r["probability"] for r in records], ("score", ""): [r["score"] for r in records]}
        for method in ("integrated_gradients", "grad_cam"):
            for metric in ("pointing", "gini"):
                known[metric, method] = [r["methods"][method][metric] for r in records]
        known["relative_completeness_error", "integrated_gradients"] = [
            r["methods"]["integrated_gradients"]["relative_completeness_error"] for r in records]  # fmt: skip
        self.assertEqual({(f["name"], f["method"]) for f in summary["figures"]}, set(known))
        for figure in summary["figures"]:
            values, h = numpy.array(known[figure["name"], figure["method"]], float), figure["histogram"]
            self.assertEqual(figure["count"], len(values))
            self.assertAlmostEqual(figure["mean"], values.mean(), 12)
            self.assertAlmostEqual(figure["std"], values.std(), 12)
            counted = numpy.log10(values) if h["log10"] else values
            inside = counted[(counted >= h["low"]) & (counted <= h["high"])]
            self.assertEqual(h["counts"], numpy.histogram(inside, 20, (h["low"], h["high"]))[0].tolist())
            self.assertEqual((h["below"], h["above"]), ((counted < h["low"]).sum(), (counted > h["high"]).sum()))

        maps = dict(torch.load(self.out / "mean_maps.pt"))
        self.assertEqual(maps["class"].tolist(), [c["class"] for c in summary["classes"]])
        labels = (EXAMPLES / "labels.txt").read_text().splitlines()
        loaded = shards(self.out)
        targets = torch.cat([shard["target"] for shard in loaded])
        for k, of in enumerate(summary["classes"]):
            mine = targets == of["class"]
            self.assertEqual((of["count"], of["label"]), (int(mine.sum()), labels[of["class"]]))
            self.assertEqual(int(maps["count"][k]), of["count"])
            for method in ("integrated_gradients", "grad_cam"):
                values = torch.cat([shard[method] for shard in loaded])[mine].double().abs().sum(1)
                truth = torch.nn.functional.avg_pool2d(values.mean(0, keepdim=True), 2)[0]
                torch.testing.assert_close(maps[method][k].double(), truth, rtol=1e-5, atol=1e-9)

    def test_values_of_any_size_are_summed_to_the_last_digit(self):
        class Sizes(torch.nn.Module):
            def forward(self, x):
                mean = x.mean((1, 2, 3))
                return torch.stack((mean * 1e30, mean * 1e-25, mean * 1e-3 + 4096), 1)

        model = self.folder / "sizes.pt"
        torch.jit.script(Sizes()).save(model)
        for level in range(9):
            Image.new("RGB", (8, 8), (20 * level + 30,) * 3).save(self.folder / f"level{level}.png")
        manifest = self.manifest("sizes.txt", "".join(f"level{i}.png\t{i % 3}\n" for i in range(9)))
        few = self.manifest("few sizes.txt", "".join(f"level{i}.png\t2\n" for i in range(9)))
        content = None
        for ranks in (0, 1, 3) if MPIRUN else (0,):
            out = self.folder / f"sizes {ranks}"
            done = dataset("--model", model, "--size", "8x8", "--manifest", manifest, "--shard", 2, "--threads", 1,
                           "--output", out, ranks=ranks)  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(content or files(out), files(out))
            content = files(out)

        def figure(name, folder):
            return next(f for f in json.loads((folder / "aggregates.json").read_text())["figures"] if f["name"] == name)

        def exactly(folder):
            scores = [Fraction(float(row["score"])) for row in rows(folder)]
            mean = sum(scores) / len(scores)
            return float(mean), float(sum((score - mean) ** 2 for score in scores) / len(scores)) ** 0.5

        score, (mean, std) = figure("score", out), exactly(out)
        self.assertGreater(abs(mean), 1e25)  # its square lies above 2^40, and the gradients of class 1 below 1e-17
        self.assertLess(abs(score["mean"] / mean - 1), 1e-15)
        self.assertLess(abs(score["std"] / std - 1), 1e-15)
        maps, loaded = dict(torch.load(out / "mean_maps.pt")), shards(out)
        for k in range(3):
            mine = torch.cat([shard["vanilla"][shard["target"] == k] for shard in loaded]).double()
            truth = mine.abs().sum(1).mean(0)
            self.assertGreater(float(truth.min()), 0.0)
            self.assertLess(float((maps["vanilla"][k] - truth).abs().max() / truth.max()), 1e-7)

        # Beside a mean of 4096 a deviation of 1e-4 has no digit left where squares are rounded.
        out = self.folder / "few sizes"
        done = dataset("--model", model, "--size", "8x8", "--manifest", few, "--dtype", "float64", "--output", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        score, (mean, std) = figure("score", out), exactly(out)
        self.assertLess(std / mean, 1e-6)
        self.assertLess(abs(score["std"] / std - 1), 1e-14)

    def test_the_metrics_are_evaluates(self):
        folder = self.folder / "evaluate"
        images, masks = folder / "images", folder / "masks"
        images.mkdir(parents=True), masks.mkdir()
        for name in self.names[:3]:
            shutil.copy(self.images / name, images), shutil.copy(self.masks / name, masks)
        command = ["--model", MODEL, "--images", images, "--masks", masks, "--size", f"{SIZE}x{SIZE}", "--metrics",
                   "pointing,deletion,infidelity", "--seed", 3]  # fmt: skip
        # A map whose values are all different: rounding, which is another in a batch, would order those that tie.
        done = subprocess.run([*map(str, [program("SALIENCE_EVALUATE"), *command, "--method", "vanilla", "--output",
                               folder / "theirs"])], capture_output=True, text=True, timeout=300)  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(folder / "theirs/metrics.csv", newline="") as file:
            values = {(row["image"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}
        done = dataset(*command, "--method", "vanilla", "--output", folder / "ours")
        self.assertEqual(done.returncode, 0, done.stderr)
        for record in logged(folder / "ours"):
            for metric in ("pointing", "deletion", "infidelity"):
                self.assertAlmostEqual(record["methods"]["vanilla"][metric], values[record["path"], metric], 6)

    def test_outputs_that_are_not_logits_of_several_classes(self):
        torch.manual_seed(6)
        body = [torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(432, 6), torch.nn.Tanh()]
        manifest = self.manifest("outputs.txt", f"images/{self.names[0]}\tcat\nimages/{self.names[1]}\tnot cat\n" +
                                 "".join(f"images/{name}\n" for name in self.names[2:9]))  # fmt: skip
        label = self.manifest("cat.txt", "cat\n")
        for last, warns in ((torch.nn.Linear(6, 1), None), (torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Softmax(1)),
                                                            "probabilities already")):  # fmt: skip
            model, out = self.folder / "outputs.pt", self.folder / f"outputs {warns}"
            torch.jit.trace(torch.nn.Sequential(*body, last).eval(), torch.zeros(1, 3, SIZE, SIZE)).save(str(model))
            done = dataset(*self.arguments(out, model=model, method="vanilla", metrics="deletion", batch=2, dtype="float64",
                                           manifest=manifest, **{"output-type": "logits"} if not warns else {},
                                           labels=label if not warns else self.manifest("four.txt", "cat\nnot cat\nc\nd\n")))  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stderr)
            said = [line for line in done.stderr.splitlines()
                    if line.startswith("warning: ") and "--steps has no effect" not in line]
            self.assertEqual(len(said), 1 if warns else 0, done.stderr)  # once, of five batches
            records = sorted(logged(out), key=lambda record: record["sample"])
            names = ["cat", "not cat"] if warns else ["not cat", "cat"]
            self.assertEqual([record["target"] for record in records[:2]], [names.index("cat"), names.index("not cat")])
            for record in records:
                score, curve = record["score"], record["methods"]["vanilla"]["deletion"]
                self.assertAlmostEqual(record["probability"], score if warns else 1 / (1 + numpy.exp(-score)), 12)
                self.assertTrue(0 < curve < 1)
                if record["sample"] > 1:  # the predicted class
                    self.assertGreater(record["probability"], 0.25 if warns else 0.5)
            for of in json.loads((out / "aggregates.json").read_text())["classes"]:
                self.assertEqual(of["label"], (names + ["c", "d"])[of["class"]])
        self.assertIn(warns, said[0])

    # ---- manifests --------------------------------------------------------------------------------------------

    def test_a_csv_with_targets_and_masks(self):
        strange = self.folder / 'a "b", c.png'
        shutil.copy(self.images / self.names[0], strange)
        text = ("\ufeffmask,path,target\r\n"  # a byte order mark, as Excel writes it
                f'{self.masks / self.names[0]},"a ""b"", c.png",3\r\n'
                f",images/{self.names[1]},\r\n\r\n"
                f",images/{self.names[1]},star\r\n"
                f",{self.images / self.names[1]},argmax")  # fmt: skip
        out = self.folder / "csv"
        done = dataset(*self.arguments(out, metrics="pointing", manifest=self.manifest("m.CSV", text)))
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        index = rows(out)
        labels = (EXAMPLES / "labels.txt").read_text().splitlines()
        self.assertEqual([row["status"] for row in index], ["done"] * 4)
        self.assertEqual(index[0]["path"], 'a "b", c.png')
        predicted = rows(self.out)[1]["target"]
        self.assertEqual([row["target"] for row in index], ["3", predicted, str(labels.index("star")), predicted])
        pointing = [record["methods"]["grad_cam"]["pointing"] for record in sorted(logged(out), key=lambda r: r["sample"])]
        self.assertIsNotNone(pointing[0])
        self.assertEqual(pointing[1:], [None] * 3)

    def test_a_text_file(self):
        text = f"\ufeffimages/{self.names[4]}\n\nimages/{self.names[2]}\t5\r\nimages/{self.names[3]}\tdisc\n"
        out = self.folder / "text"
        labels = self.folder / "marked labels.txt"
        labels.write_bytes(b"\xef\xbb\xbf" + (EXAMPLES / "labels.txt").read_bytes())
        done = dataset(*self.arguments(out, manifest=self.manifest("m.txt", text), labels=labels))
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertEqual([row["target"] for row in rows(out)], [rows(self.out)[4]["target"], "5", "0"])

    def test_masks_that_are_not_found(self):
        manifest = self.manifest("there.txt", f"images/{self.names[4]}\n")  # whose mask is not masks/images/...
        done = dataset(*self.arguments(self.folder / "no masks", manifest=manifest, masks=self.masks, metrics="pointing"))
        self.assertEqual(done.returncode, 0)
        self.assertIn("warning: none of the first 1 samples has a mask", done.stderr)

    def test_names_that_are_strange(self):
        strange = b"b\xff.png"
        shutil.copy(self.images / self.names[0], os.path.join(os.fsencode(self.folder), strange))
        out = self.folder / "strange"
        manifest = self.manifest("strange.txt", strange + b"\n" + b"x" * 300 + b".png\n")
        done = dataset(*self.arguments(out, manifest=manifest, masks=self.masks))
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertIn(b"\n0," + strange + b",0,0,", (out / "index.csv").read_bytes())
        self.assertIn("2 samples: 1 done, 1 unreadable", done.stdout)

    def test_bad_manifests(self):
        for name, text, words in (("a.csv", 'path\nx,"y', "line 2"), ("b.txt", "\n\n", "no pictures"),
                                  ("c.csv", "path,target\n", "no pictures"),
                                  ("d.csv", "Path,label\nx,y\n", "column 'label'")):  # fmt: skip
            message = self.fails(1, *self.arguments(self.folder / "bad", manifest=self.manifest(name, text)))
            self.assertIn(words, message)
            self.assertIn(name, message)
            self.assertEqual(len(message.splitlines()), 1)
        self.assertIn("no such file", self.fails(1, *self.arguments(self.folder / "bad", manifest="none.csv")))
        empty = self.folder / "empty"
        empty.mkdir()
        self.assertIn("no pictures", self.fails(1, *self.arguments(self.folder / "bad", images=empty)))
        self.assertIn("no folder", self.fails(1, *self.arguments(self.folder / "bad", images=empty / "x")))

    # ---- ranks ------------------------------------------------------------------------------------------------

    @needs_mpi
    def test_any_number_of_ranks_gives_the_same_bytes(self):
        truth = files(self.out)
        self.assertGreater(len(truth), 3 * (COUNT // SHARD))
        for ranks in (1, 2, 3):
            out = self.folder / f"ranks{ranks}"
            done = dataset(*self.arguments(out, progress=1e6), ranks=ranks)
            self.assertEqual((done.stderr, done.returncode), ("", 0))
            self.assertEqual(files(out), truth, f"{ranks} ranks")
            self.assertEqual(sorted(record["sample"] for record in logged(out)), list(range(COUNT)))
            self.assertIn(f"by {ranks} rank", done.stdout)
            self.assertLessEqual({record["rank"] for record in logged(out)}, set(range(ranks)))
            if ranks == 2:
                self.assertEqual({record["rank"] for record in logged(out)}, {0, 1})

    @needs_mpi
    def test_ranks_share_the_cores(self):
        cores = len(os.sched_getaffinity(0))
        few = self.manifest("few.txt", "".join(f"images/{name}\n" for name in self.names[:4]))
        for ranks in (1, 2, 3):
            out = self.folder / f"cores{ranks}"
            free = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
            done = dataset(*self.arguments(out, threads=None, manifest=few), ranks=ranks, environment=free)
            self.assertIn(f"of {max(1, cores // ranks)} thread", done.stdout, done.stderr)
        done = dataset(*self.arguments(self.folder / "one thread", threads=None, manifest=few), environment=free | {"OMP_NUM_THREADS": "1"})
        self.assertIn("of 1 thread;", done.stdout, done.stderr)

    @needs_mpi
    def test_one_rank_tells_of_the_command_line(self):
        self.assertEqual(dataset("--help", ranks=3).stdout.count("Usage:"), 1)
        done = dataset("--nonsense", ranks=3)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stderr.count("--nonsense"), 1, done.stderr)

    @needs_mpi
    def test_a_rank_that_cannot_work_ends_the_run(self):
        done = dataset(*self.arguments(self.folder / "none", layer="nonsense"), ranks=2)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("nonsense", done.stderr)

    @needs_mpi
    def test_ranks_that_see_different_pictures_are_refused(self):
        other = self.manifest("other.txt", f"images/{self.names[0]}\n")
        mine = self.manifest("mine.txt", f"images/{self.names[0]}\nimages/{self.names[1]}\n")
        first, *words = (command(*self.arguments(self.folder / "differ", manifest=manifest), ranks=1) for manifest in (mine, other))
        done = subprocess.run([*first, ":", *words[0][words[0].index("-n"):]], capture_output=True, text=True, timeout=300)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("rank 1", done.stderr)
        self.assertIn("another --manifest", done.stderr)

    # ---- faults -----------------------------------------------------------------------------------------------

    SLOW = {"steps": 400, "size": "48x48", "shard": 2, "batch": 2}  # so that there is time to disturb it

    def killed(self, ranks, kills, out):
        """Starts the program again and again and kills one of its processes, until it has been killed that often. Lets the
        last start end; gives how many samples each start had found done."""
        chance, found = random.Random(5), []
        for kill in range(kills + 1):
            process = subprocess.Popen(command(*self.arguments(out, **self.SLOW), ranks=ranks), stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True)  # fmt: skip
            done = len(list(out.glob("shards/*[0-9].json")))
            found.append(done)
            if kill < kills:
                while process.poll() is None and not self.at_work(process.pid, out):
                    time.sleep(0.002)
                if chance.random() < min(0.5, 6 / kills):  # else at once, while the first are computed
                    while process.poll() is None and len(list(out.glob("shards/*[0-9].json"))) == done:
                        time.sleep(0.002)
                time.sleep(chance.uniform(0.0, 0.05))
                victims = self.processes(process.pid)
                self.assertTrue(victims, f"it ended before kill {kill}")
                os.kill(chance.choice(victims), signal.SIGKILL)
            output = process.communicate(timeout=300)[0]
            self.assertEqual(process.returncode == 0, kill == kills, output)
        return found

    def at_work(self, pid, out):
        """Has the program opened its log? From then on it computes."""
        for process in self.processes(pid):
            try:
                links = [os.readlink(link) for link in pathlib.Path(f"/proc/{process}/fd").iterdir()]
            except OSError:
                continue
            if str(out / "log.jsonl") in links:
                return True
        return False

    @staticmethod
    def processes(pid):
        """The program's own processes: this one or its children."""
        name, found = pathlib.Path(program("SALIENCE_ATTRIBUTE_DATASET")).name[:15], []
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                text = path.read_text()
            except OSError:
                continue
            process, rest = int(text.split(" ", 1)[0]), text.rsplit(")", 1)[1].split()
            if f"({name})" in text and pid in (process, int(rest[1])) and rest[0] != "Z":
                found.append(process)
        return found

    def check_kills(self, ranks):
        truth, out = self.folder / "truth", self.folder / f"killed{ranks}"
        if not truth.exists():
            done = dataset(*self.arguments(truth, **self.SLOW))
            self.assertEqual(done.returncode, 0, done.stderr)
        found = self.killed(ranks, 20 if ranks else 5, out)
        self.assertEqual(files(out), files(truth))
        self.assertEqual(sorted(record["sample"] for record in logged(out)), list(range(COUNT)))
        self.assertEqual(found, sorted(found))
        self.assertGreater(found[-1], 0, "no run went on with what another had finished")
        return found

    @needs_mpi
    def test_twenty_killed_ranks(self):
        found = self.check_kills(2)
        self.assertGreater(len(set(found)), 3, found)  # kills at different stages of the run

    def test_a_killed_process(self):
        self.check_kills(0)

    def test_a_finished_run_does_nothing_twice(self):
        before = {path: path.stat().st_mtime_ns for path in self.out.glob("shards/*")}
        content, log = files(self.out), (self.out / "log.jsonl").read_bytes()
        done = dataset(*self.arguments(self.out))
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertIn("0 computed now", done.stdout)
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.out.glob("shards/*")}, before)
        self.assertEqual(files(self.out), content)
        self.assertEqual((self.out / "log.jsonl").read_bytes(), log)

    def test_a_missing_shard_is_computed_again(self):
        out = self.folder / "missing shard"
        shutil.copytree(self.out, out)
        (out / "shards/0000002.pt").unlink()
        (out / "log.jsonl").write_bytes((self.out / "log.jsonl").read_bytes()[:-40])  # cut in the last record
        (out / "shards/.salience-1-2.tmp").write_text("half a shard")
        done = dataset(*self.arguments(out))
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertIn(f"{SHARD} computed now", done.stdout)
        self.assertEqual(files(out), files(self.out))
        self.assertEqual(sorted(record["sample"] for record in logged(out)), list(range(COUNT)))

    def test_bad_samples_are_logged_and_passed_over(self):
        (self.folder / "bad.png").write_text("no picture")
        text = "Path,TARGET,mask\n" + "".join(
            f"{path},{target},{mask}\n" for path, target, mask in (
                (self.images / self.names[0], "", ""), ("bad.png", "", ""), (self.images / self.names[1], 8, ""),
                (self.images / self.names[2], "nonsense", ""), (self.images / self.names[3], "", "bad.png"),
                ("nowhere.png", "", ""), (self.images / self.names[4], "", ""), (self.images / self.names[5], "", "")))  # fmt: skip
        out = self.folder / "bad samples"
        done = dataset(*self.arguments(out, manifest=self.manifest("bad.csv", text)))
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertIn("8 samples: 3 done, 1 failed, 4 unreadable", done.stdout)
        index = rows(out)
        self.assertEqual([row["status"] for row in index], ["done", "unreadable", "failed", "unreadable", "unreadable",
                                                            "unreadable", "done", "done"])  # fmt: skip
        self.assertEqual([row["position"] for row in index], ["0", "", "", "", "", "", "0", "1"])
        problems = {record["sample"]: record.get("problem", "") for record in logged(out)}
        for sample, words in ((1, "bad.png"), (2, "no class 8"), (3, "no label 'nonsense'"), (4, "bad.png"), (5, "no such file")):
            self.assertIn(words, problems[sample])
        whole = shards(self.out)[0]
        for i, shard, position in ((0, 0, 0), (4, 1, 0), (5, 1, 1)):
            ours, truth = shards(out)[shard]["integrated_gradients"][position], whole["integrated_gradients"][i]
            self.assertLess(float((ours - truth).norm() / truth.norm()), 1e-3)

    def test_no_good_sample_is_an_error(self):
        (self.folder / "bad.png").write_text("no picture")
        out = self.folder / "nothing good"
        message = self.fails(1, *self.arguments(out, manifest=self.manifest("nothing.txt", "bad.png\nbad.png\n")))
        self.assertIn("no sample could be attributed", message)
        self.assertEqual([row["status"] for row in rows(out)], ["unreadable"] * 2)

    def test_values_that_are_no_numbers(self):
        class Root(torch.nn.Module):
            def forward(self, x):
                x = x.mean((1, 2, 3))
                return torch.stack((x.sqrt(), x * 0 - 1), 1)  # NaN for dark pictures

        model = self.folder / "root.pt"
        torch.jit.script(Root()).save(model)
        dark, light = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), "white")
        dark.save(self.folder / "dark.png"), light.save(self.folder / "light.png")
        out = self.folder / "root"
        done = dataset("--model", model, "--size", "8x8", "--manifest", self.manifest("root.txt", "dark.png\t0\nlight.png\n"), "--output", out)
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertEqual([row["status"] for row in rows(out)], ["non_finite", "done"])
        self.assertEqual([row["score"] for row in rows(out)][0], "nan")
        summary = json.loads((out / "aggregates.json").read_text())
        self.assertEqual([c["count"] for c in summary["classes"]], [1])
        self.assertTrue(torch.load(out / "mean_maps.pt")[2][1].isfinite().all())

    def test_what_is_wrong_with_the_model_stops_the_run(self):
        out = self.folder / "wrong"
        message = self.fails(1, *self.arguments(out, layer="nonsense"))
        self.assertIn("nonsense", message)
        self.assertEqual(len(message.splitlines()), 1)
        self.assertEqual(list(out.glob("shards/*")), [])

    def test_other_settings_are_refused(self):
        content = files(self.out)
        for other, words in (({"steps": 5}, "--steps (4, now 5)"), ({"batch": 2}, "--batch (4, now 2)"),
                             ({"sign": "signed"}, "--sign"), ({"method": "vanilla"}, "--method")):  # fmt: skip
            message = self.fails(1, *self.arguments(self.out, **other))
            self.assertIn(words, message)
            problems = [line for line in message.splitlines() if not line.startswith("warning: --steps has no effect")]
            self.assertEqual(len(problems), 1, message)
        copy = self.folder / "copy of the images"
        shutil.copytree(self.images, copy)
        self.assertIn("--images", self.fails(1, *self.arguments(self.out, images=copy)))
        self.assertEqual(files(self.out), content)

    def test_what_failed_at_once_can_be_tried_with_other_settings(self):
        out = self.folder / "tried"
        few = self.manifest("few.txt", f"images/{self.names[0]}\n")
        self.fails(1, *self.arguments(out, manifest=few, layer="nonsense"))
        self.assertEqual(dataset(*self.arguments(out, manifest=few)).returncode, 0)

    def test_results_below_the_pictures_are_no_pictures(self):
        images = self.folder / "photos"
        images.mkdir()
        shutil.copy(self.images / self.names[0], images / "a.png")
        (images / "again").symlink_to(images)
        for computed in (1, 0):
            done = dataset(*self.arguments(images / "out", images=images, masks=None, metrics=None, views="overlay"))
            self.assertEqual((done.stderr, done.returncode), ("", 0))
            self.assertIn(f"1 samples: 1 done\n{computed} computed now", done.stdout)

    def test_two_runs_at_once_are_refused(self):
        out = self.folder / "twice"
        first = subprocess.Popen(command(*self.arguments(out, **self.SLOW)), stdout=subprocess.PIPE)
        while not self.at_work(first.pid, out) and first.poll() is None:
            time.sleep(0.005)
        self.assertIn("another run is at work", self.fails(1, *self.arguments(out, **self.SLOW)))
        first.communicate()
        self.assertEqual(first.returncode, 0)

    def test_damage_is_found(self):
        out = self.folder / "damaged"
        shutil.copytree(self.out, out)
        done = dataset("--output", out, "--verify")
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=out, check=True)
        for name in ("shards/0000003.pt", "shards/0000001.json", "index.csv"):
            content = bytearray((out / name).read_bytes())
            content[len(content) // 2] ^= 1
            (out / name).write_bytes(content)
        (out / "shards/0000004.json").unlink()
        (out / "shards/0000005.sums.pt").unlink()
        (out / "mean_maps.pt").unlink()
        for ranks in (0, 2) if MPIRUN else (0,):
            done = dataset("--output", out, "--verify", ranks=ranks)
            self.assertNotEqual(done.returncode, 0)
            for name in ("shards/0000003.pt", "shards/0000001.json", "index.csv"):
                self.assertIn(f"{name}: is not what was written; remove it", done.stderr)
            for name in ("shards/0000004.json", "shards/0000005.sums.pt", "mean_maps.pt"):
                self.assertIn(f"{name}: is missing", done.stderr)
            self.assertIn("6 problems", done.stderr)
        settings = (out / "settings.json").read_text()
        (out / "settings.json").write_text(settings.replace("{", "{ ", 1))
        self.assertIn("settings.json: is not what was written; start again with another --output", dataset("--output", out, "--verify").stderr)
        (out / "settings.json").write_text(settings)
        # What the messages say to do.
        (out / "shards/0000003.pt").unlink(), (out / "shards/0000001.json").unlink()
        done = dataset(*self.arguments(out))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"{4 * SHARD} computed now", done.stdout)
        self.assertEqual(files(out), files(self.out))

    def test_of_a_run_that_has_not_ended_the_shards_are_verified(self):
        out = self.folder / "not ended"
        shutil.copytree(self.out, out)
        (out / "SHA256SUMS").unlink(), (out / "shards/0000004.json").unlink()
        (out / "shards/0000002.pt").write_bytes(b"nothing")
        message = self.fails(1, "--output", out, "--verify")
        for words in ("0000002.pt: is not what was written", "the run has not ended, 1 of 8 shards are missing", "2 problems"):
            self.assertIn(words, message)
        self.assertIn("no results", self.fails(1, "--output", self.images, "--verify"))
        (out / "settings.json").write_text("{}")
        self.assertIn("settings.json", self.fails(1, "--output", out, "--verify"))

    def test_what_a_power_failure_leaves_is_computed_again(self):
        out = self.folder / "power"
        shutil.copytree(self.out, out)
        for name in ("0000001.json", "0000003.pt", "0000006.sums.pt"):
            (out / "shards" / name).write_bytes(b"")
        done = dataset(*self.arguments(out))
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertIn(f"{3 * SHARD} computed now", done.stdout)
        self.assertEqual(files(out), files(self.out))

    def test_bad_samples_can_be_tried_again(self):
        late, out = self.folder / "late.png", self.folder / "retry"
        manifest = self.manifest("late.txt", f"images/{self.names[0]}\nlate.png\nimages/{self.names[1]}\n")
        arguments = self.arguments(out, manifest=manifest, shard=1)
        done = dataset(*arguments)
        self.assertIn("3 samples: 2 done, 1 unreadable", done.stdout)
        shutil.copy(self.images / self.names[2], late)
        self.assertIn("0 computed now", dataset(*arguments).stdout)
        done = dataset(*arguments, "--retry")
        self.assertIn("3 samples: 3 done\n1 computed now", done.stdout)
        self.assertEqual([record["status"] for record in logged(out)], ["done"] * 3)

    def test_wrong_usage(self):
        for words, arguments in (("--model", ["--output", "x"]), ("--images or --manifest", ["--model", "m", "--output", "x"]),
                                 ("needs masks", ["--model", "m", "--images", "i", "--output", "x", "--metrics", "iou"]),
                                 ("the nearest are 'grad_cam'", ["--output", "x", "--method", "gradcam"]),
                                 ("gini", ["--output", "x", "--metrics", "randomization"])):  # fmt: skip
            self.assertIn(words, self.fails(2, *arguments))

    # ---- growth and progress ----------------------------------------------------------------------------------

    def test_memory_is_flat(self):
        def peak(count):
            manifest = self.manifest(f"many{count}.txt", f"images/{self.names[0]}\n" * count)
            process = subprocess.Popen(command("--model", MODEL, "--size", "32x32", "--manifest", manifest, "--no-raw", "--threads", 1,
                                               "--output", self.folder / f"many{count}"), stdout=subprocess.DEVNULL)  # fmt: skip
            _, status, used = os.wait4(process.pid, 0)
            self.assertEqual(status, 0)
            return used.ru_maxrss / 1024

        few, many = peak(400), peak(3200)
        self.assertLess(many - few, 12, f"{few} and {many} MiB")

    def test_progress_is_told(self):
        out = self.folder / "told"
        done = dataset(*self.arguments(out, progress=0, steps=20))
        self.assertEqual(done.returncode, 0)
        lines = done.stderr.splitlines()
        self.assertGreater(len(lines), 2)
        for line in lines:
            self.assertRegex(line, rf"^\d+/{COUNT}, [0-9.e+-]+/s, (\d+:\d\d left, )?0 failed$")

    # ---- the page ---------------------------------------------------------------------------------------------

    @unittest.skipUnless("SALIENCE_CHROMIUM" in os.environ, "there is no Chromium")
    def test_the_page(self):
        from browser import Browser

        summary = json.loads((self.out / "aggregates.json").read_text())
        browser = Browser(os.environ["SALIENCE_CHROMIUM"])
        self.addCleanup(browser.close)
        for width in (1280, 390):
            browser.look(width)
            browser.open(self.out / "index.html")
            browser.wait_for(f"document.querySelectorAll('.figure').length === {len(summary['figures'])}")
            self.assertLessEqual(browser.run("document.documentElement.scrollWidth"), width)
        self.assertEqual(browser.run("document.querySelector('#status dd').textContent"), str(COUNT))
        self.assertEqual(browser.run("document.querySelectorAll('#classes figure').length"), len(summary["classes"]))
        most = max(summary["classes"], key=lambda c: c["count"])
        self.assertEqual(browser.run("document.querySelector('#classes h3').textContent"), most["label"])
        tallest = "Math.max(...[...document.querySelectorAll('.figure rect')].map((e) => e.height.baseVal.value))"
        self.assertAlmostEqual(browser.run(tallest), 98, 0)
        sources = "[...document.querySelectorAll('#classes img')].map((i) => i.src)"
        first = browser.run(sources)
        browser.run("document.querySelectorAll('#methods input')[1].click()")
        self.assertNotEqual(browser.run(sources), first)
        self.assertTrue(browser.run("Promise.all([...document.images].map((i) => i.decode())).then(() => true)"))
        for event in browser.events:
            self.assertNotIn(event["method"], ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"))
            if event["method"] == "Network.requestWillBeSent":
                self.assertRegex(event["params"]["request"]["url"], "^(data|file):")


if __name__ == "__main__":
    unittest.main(verbosity=2)
