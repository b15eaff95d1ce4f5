"""load_npy, save_npy, load_pt and save_pt against numpy and torch themselves: the same values, types, shapes and bytes."""

import io
import itertools
import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy
import torch

TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")
SHAPES = ((), (1,), (7,), (2, 3), (1, 3, 5, 4), (0,), (3, 0, 2), (1,) * 30)


def values(shape, dtype):
    random = numpy.random.default_rng(7)
    return numpy.asarray(random.normal(size=shape) * 9 if dtype[0] == "f" else random.integers(0, 2 if dtype == "b1" else 100, shape))


class TensorFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tool = subprocess.Popen([os.environ["SALIENCE_TENSOR_FILE_TOOL"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        cls.folder = tempfile.TemporaryDirectory()
        cls.given = pathlib.Path(cls.folder.name, "in")
        cls.result = pathlib.Path(cls.folder.name, "out")

    @classmethod
    def tearDownClass(cls):
        cls.tool.stdin.close()
        cls.tool.stdout.close()
        status = cls.tool.wait(timeout=60)
        cls.folder.cleanup()
        assert status == 0, status

    def ask(self, before, after):
        self.tool.stdin.write(f"{before} {after} {self.given} {self.result}\n")
        self.tool.stdin.flush()
        return self.tool.stdout.readline().rstrip("\n")

    def test_numpys_files_are_read_in_every_type_shape_and_order_and_written_as_numpy_does(self):
        count = 0
        for dtype, shape, endian, fortran in itertools.product(TYPES, SHAPES, "<>", (False, True)):
            array = values(shape, dtype).astype(endian + dtype if dtype[1] != "1" else dtype)
            numpy.save(self.given, numpy.asarray(array, order="F" if fortran else "C"))
            os.replace(f"{self.given}.npy", self.given)
            with self.subTest(dtype=array.dtype.str, shape=shape, fortran=fortran):
                self.assertEqual(self.ask("npy", "npy"), "ok")
                expected = io.BytesIO()
                numpy.save(expected, numpy.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))).reshape(shape))
                self.assertEqual(self.result.read_bytes(), expected.getvalue())
                count += 1
        self.assertEqual(count, len(TYPES) * len(SHAPES) * 4)

    def test_every_version_of_the_format(self):
        array = values((3, 4), "f4").astype("f4")
        for version in ((1, 0), (2, 0), (3, 0)):
            with open(self.given, "wb") as file:
                numpy.lib.format.write_array(file, array, version=version)
            self.assertEqual(self.ask("npy", "npy"), "ok")
            self.assertTrue(numpy.array_equal(numpy.load(self.result), array))

    def test_what_torch_has_no_type_for_is_refused(self):
        for array, words in ((numpy.zeros(3, "c8"), "complex"), (numpy.zeros(3, "u2"), "'<u2'"), (numpy.array(["text"]), "'<U4'"),
                             (numpy.array([{}], dtype=object), "Python objects"), (numpy.zeros(3, "f4,i2"), "records"),
                             (numpy.zeros(3, "M8[s]"), "'<M8[s]'"), (numpy.zeros(3, "g"), "<f16")):
            with open(self.given, "wb") as file:
                numpy.save(file, array)
            said = self.ask("npy", "npy")
            self.assertTrue(said.startswith(f"{self.given}: holds "), said)
            self.assertIn(words, said)

    def test_torchs_files_are_read_and_written(self):
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool):
            for shape in SHAPES:
                tensor = torch.from_numpy(values(shape, "f8").copy()).to(dtype)
                torch.save(tensor, self.given)
                self.assertEqual(self.ask("pt", "pt"), "ok")
                again = torch.load(self.result, weights_only=True)
                self.assertEqual((again.dtype, again.shape), (tensor.dtype, tensor.shape))
                self.assertTrue(torch.equal(again, tensor))
        whole = torch.arange(24.0).reshape(2, 3, 4)
        for view in (whole[1], whole[:, 1:, ::2], whole.transpose(0, 2), whole.expand(5, 2, 3, 4)):
            torch.save(view, self.given)
            self.assertEqual(self.ask("pt", "npy"), "ok")
            self.assertTrue(numpy.array_equal(numpy.load(self.result), view.numpy()))
        self.assertIn("bfloat16", (torch.save(whole.bfloat16(), self.given), self.ask("pt", "npy"))[1])

    def test_a_dict_of_tensors(self):
        tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.int32)}
        torch.save(tensors, self.given)
        self.assertEqual(self.ask("named", "named"), "ok")
        again = dict(torch.load(self.result, weights_only=True))
        self.assertEqual(list(again), list(tensors))
        for name, tensor in tensors.items():
            self.assertTrue(torch.equal(again[name], tensor))
            self.assertEqual(again[name].dtype, tensor.dtype)
        torch.save([1, 2], self.given)
        self.assertIn("not tensors with names", self.ask("named", "named"))
        torch.save({"a": 1}, self.given)
        self.assertIn("where a tensor was expected", self.ask("named", "named"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
