"""Model files that Python writes and that the program cannot explain: exit code 1, one line, no half file, no crash."""

import io
import json
import pathlib
import pickle
import random
import tempfile
import unittest
import zipfile

import torch
from PIL import Image
from peers import attribute, scenes


class Net(torch.nn.Module):
    """A small classifier with what training mode changes; `end` makes of its logits what it returns."""

    def __init__(self, end=None):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.drop = torch.nn.Dropout(0.5)
        self.end = end

    def forward(self, x):
        logits = self.drop(torch.relu(self.norm(self.conv(x)))).mean((2, 3))
        return logits if self.end is None else self.end(logits)


class Raises(torch.nn.Module):
    def forward(self, x):
        if x.dim() == 4:
            raise ValueError("my own\nwords")
        return x


class TwoInputs(torch.nn.Module):
    def forward(self, x, mask):
        return (x * mask).mean((2, 3))


def traced(end):
    return torch.jit.trace(Net(end).eval(), torch.rand(1, 3, 9, 9), strict=False, check_trace=False)


class BadModels(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.path = self.folder / "upload.pt"
        self.output = self.folder / "out"

    def explain(self, *more):
        return attribute("--model", self.path, "--image", scenes()[0], "--size", "9x9", "--output", self.output, *more)

    def expect_whole_files(self):
        """What there is in the folder can be read, and nothing of a name that was not promised is left."""
        for path in self.output.iterdir() if self.output.exists() else ():
            if path.suffix == ".png":
                Image.open(path).load()
            elif path.suffix == ".json":
                json.loads(path.read_text())
            else:
                self.assertEqual(path.name, "vanilla.pt")
                torch.load(path)

    def refused(self, *words):
        done = self.explain()
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)
        self.assertTrue(done.stderr.startswith("attribute: "), done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.expect_whole_files()

    def test_files_that_are_no_models(self):
        export = "torch.jit.trace"
        net = Net().eval()
        without_forward = torch.jit.script(torch.nn.ParameterList([torch.nn.Parameter(torch.ones(1))]))
        files = [
            ("nothing", lambda: self.path.write_bytes(b""), ("neither a torch.export program nor TorchScript", export)),
            ("a text", lambda: self.path.write_text("weights"), ("neither a torch.export program nor TorchScript", export)),
            ("a picture", lambda: self.path.write_bytes(scenes()[0].read_bytes()), ("neither a torch.export program nor TorchScript", export)),
            ("an empty zip", lambda: self.path.write_bytes(b"PK\5\6" + bytes(18)), ("upload.pt",)),
            ("a state dict", lambda: torch.save(net.state_dict(), self.path), ("a state dict", export)),
            ("a module", lambda: torch.save(net, self.path), ("another Python object", export)),
            ("a tensor", lambda: torch.save(torch.zeros(3), self.path), ("another Python object", export)),
            ("an old state dict", lambda: torch.save(net.state_dict(), self.path, _use_new_zipfile_serialization=False),
             ("a Python pickle", export)),
            ("an old module", lambda: torch.save(net, self.path, _use_new_zipfile_serialization=False),
             ("a Python pickle", export)),
            ("a pickle", lambda: self.path.write_bytes(pickle.dumps({"w": 1})), ("a Python pickle", export)),
            ("AOTInductor", lambda: self.write_zip({"data/aotinductor/model/model.so": b""}), ("is compiled by AOTInductor",)),
            ("older torch.export", lambda: self.write_zip({"serialized_exported_program.json": b"{}"}), ("layout of older PyTorch",)),
            ("a module without forward", lambda: without_forward.save(self.path), ("no method 'forward'", export)),
            ("a folder", self.path.mkdir, ("is a directory",)),
        ]
        for name, write, words in files:
            with self.subTest(name):
                self.path.unlink(missing_ok=True)
                write()
                self.refused(*words)
                self.assertFalse(self.output.exists(), "nothing is written before the model is there")

    def write_zip(self, records):
        with zipfile.ZipFile(self.path, "w") as archive:
            for name, content in records.items():
                archive.writestr(f"archive/{name}", content)

    def never_crashes(self, content):
        self.path.write_bytes(content)
        done = self.explain()
        self.assertIn(done.returncode, (0, 1), done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), done.returncode, done.stderr)
        self.expect_whole_files()

    def test_a_truncated_or_damaged_exported_program_never_crashes(self):
        torch.export.save(torch.export.export(Net().eval(), (torch.rand(1, 3, 9, 9),)), self.path)
        done = self.explain()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        whole = self.path.read_bytes()
        with zipfile.ZipFile(self.path) as archive:
            infos = archive.infolist()
            records = {info.filename: archive.read(info) for info in infos}
        for info in infos:
            for length in (info.header_offset, info.header_offset + 30 + len(info.filename) + info.file_size // 2):
                with self.subTest(record=info.filename, length=length):
                    self.path.write_bytes(whole[:length])
                    self.refused("upload.pt", "truncated?" if length else "neither a torch.export program nor TorchScript")
        chance = random.Random(2026)
        program = whole.index(b"{", next(info for info in infos if info.filename.endswith("models/model.json")).header_offset)
        for _ in range(12):
            damaged = bytearray(whole)
            damaged[program + chance.randrange(2000)] = chance.choice(b'0123456789-"{}[],:.')
            with self.subTest(damaged=bytes(damaged[program:program + 2000])):
                self.never_crashes(damaged)
        for first, second in [chance.sample(sorted(records), 2) for _ in range(6)]:
            with self.subTest(first=first, second=second):
                swapped = io.BytesIO()
                with zipfile.ZipFile(swapped, "w") as archive:
                    for name, content in (records | {first: records[second], second: records[first]}).items():
                        archive.writestr(name, content)
                self.never_crashes(swapped.getvalue())

    def test_a_truncated_or_damaged_file_never_crashes(self):
        traced(None).save(self.path)
        whole = self.path.read_bytes()
        chance = random.Random(2026)
        for length in [1, 3, 4, 30] + [len(whole) * part // 12 for part in range(1, 12)] + [len(whole) - 1]:
            with self.subTest(length=length):
                self.path.write_bytes(whole[:length])
                self.refused("upload.pt")
        for _ in range(12):
            position, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
            with self.subTest(position=position, bit=bit):
                damaged = bytearray(whole)
                damaged[position] ^= bit
                self.path.write_bytes(damaged)
                done = self.explain()  # a flipped bit of padding or of a weight goes unnoticed
                self.assertIn(done.returncode, (0, 1), done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), done.returncode, done.stderr)

    def test_outputs_that_cannot_be_explained(self):
        ends = [
            ("a tuple", lambda y: (y, y + 1), ("'0' (1, ", "'1' (1, ", "ModelOptions::output (--entry)")),
            ("a dict", lambda y: {"out": y, "aux": y + 1}, ("'out' (1, ", "'aux' (1, ", "ModelOptions::output (--entry)")),
            ("a list", lambda y: [y, y + 1], ("'0' (1, ", "'1' (1, ", "ModelOptions::output (--entry)")),
            ("a scalar", lambda y: y.sum(), ("(N, K) or (N), got ()",)),
            ("maps", lambda y: y[:, :, None, None].expand(1, 4, 9, 9), ("got (1, 4, 9, 9)", "give a callable")),
            ("integers", lambda y: y.long(), ("no gradient", "from integers")),
            ("complex numbers", lambda y: torch.complex(y, y), ("a real output", "ComplexFloat")),
            ("no gradient", lambda y: y.detach(), ("no gradient",)),
            ("NaN", lambda y: y * float("nan"), ("no class is the largest", "NaN in 1 of 1 samples")),
            ("infinity", lambda y: y + float("inf"), ("logits must be numbers that have a softmax", "4 infinite of 4")),
            ("a gradient of NaN", lambda y: torch.sqrt(y * 0.0) + y, ("the attribution holds ", "NonFinite::zero")),
        ]
        for name, end, words in ends:
            with self.subTest(name):
                traced(end).save(self.path)
                self.refused(*words)
        for name, module, words in [("raises", Raises(), ("shape (1, 3, 9, 9)", "my own")),
                                    ("two inputs", TwoInputs(), ("takes 2 inputs (x, mask)", "bind the others"))]:
            with self.subTest(name):
                torch.jit.script(module).save(self.path)
                self.refused(*words)

    def test_a_model_saved_in_training_mode_is_explained_in_evaluation_mode(self):
        net = Net()
        net(torch.rand(8, 3, 9, 9))  # the statistics of the batch norm are not those of the pictures
        gradients = []
        for module in (net.train(), net.eval()):
            torch.jit.script(module).save(self.path)
            self.assertEqual(torch.jit.load(self.path).training, module.training)
            done = self.explain()
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            gradients.append(torch.load(self.output / "vanilla.pt"))
        self.assertTrue(torch.equal(*gradients))
        self.assertTrue(gradients[0].any())


if __name__ == "__main__":
    unittest.main(verbosity=2)
