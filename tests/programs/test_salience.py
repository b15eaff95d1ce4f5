"""The program `salience`: it chooses a command, says what a stranger needs, and gives the exit status of the command."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
DATA = PROJECT / "examples" / "data"
COMMANDS = ("attribute", "evaluate", "dataset", "methods")
PICTURE = ("--model", DATA / "scenes.pt", "--image", DATA / "scene_heart.png", "--labels", DATA / "labels.txt", "--size", "96x96")


def run(*arguments, program="SALIENCE_PROGRAM"):
    return subprocess.run([os.environ[program], *map(str, arguments)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=300)


class Salience(unittest.TestCase):
    def test_help_names_every_command(self):
        done = run("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("Usage: salience [OPTIONS] SUBCOMMAND", done.stdout)
        for command in COMMANDS:
            self.assertRegex(done.stdout, rf"(?m)^  {command} ")

    def test_version_is_that_of_the_header(self):
        header = (PROJECT / "include" / "salience" / "version.hpp").read_text(encoding="utf-8")
        version = re.search(r'define SALIENCE_VERSION "(.*)"', header).group(1)
        done = run("--version")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, rf"^salience {re.escape(version)}, LibTorch \d+\.\d+")

    def test_each_command_has_help_that_says_how_it_was_called(self):
        for command in COMMANDS:
            done = run(command, "--help")
            if command in ("evaluate", "dataset") and "without OpenSSL" in done.stderr:
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertTrue(done.stderr.startswith(f"salience {command}: "), done.stderr)
                continue
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn(f"Usage: salience {command} [OPTIONS]", done.stdout)
            if command != "methods":
                self.assertIn(f"  salience {command} --model", done.stdout)
        done = run("--help", program="SALIENCE_ATTRIBUTE")
        self.assertIn("Usage: attribute [OPTIONS]", done.stdout)
        self.assertIn("\n  attribute --model", done.stdout)

    def test_what_is_no_command_is_wrong_usage(self):
        done = run("atribute", "--model", "x.pt")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(done.stderr.splitlines()[0], "salience: there is no command 'atribute'")
        self.assertIn("Commands: " + " ".join(COMMANDS), done.stderr)
        done = run()
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(done.stderr.splitlines()[0], "salience: name a command")
        for option in ("--nonsense", "--model"):
            self.assertEqual(run(option).returncode, 2)

    def test_a_command_is_its_short_name(self):
        with tempfile.TemporaryDirectory() as folder:
            long = run("attribute", *PICTURE, "--output", pathlib.Path(folder, "long"), "--method", "grad_cam")
            short = run(*PICTURE, "--output", pathlib.Path(folder, "short"), "--method", "grad_cam", program="SALIENCE_ATTRIBUTE")
            self.assertEqual((long.returncode, long.stderr), (0, ""))
            self.assertEqual((short.returncode, short.stderr), (0, ""))
            self.assertEqual(long.stdout, short.stdout)
            self.assertIn("target: heart, class", long.stdout)
            files = sorted(path.name for path in pathlib.Path(folder, "long").iterdir())
            self.assertIn("grad_cam.pt", files)
            for name in files:
                if name != "prediction.json":  # which holds seconds
                    self.assertEqual(pathlib.Path(folder, "long", name).read_bytes(), pathlib.Path(folder, "short", name).read_bytes())

    def test_errors_begin_with_how_it_was_called(self):
        wrong = ("--model", "missing.pt", "--image", DATA / "scene_heart.png", "--output", "/tmp/never")
        for done, called in ((run("attribute", *wrong), "salience attribute"), (run(*wrong, program="SALIENCE_ATTRIBUTE"), "attribute")):
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr, f"{called}: missing.pt: there is no such file\n")
        self.assertEqual(run("attribute").returncode, 2)
        self.assertEqual(run("methods", "--wrong").returncode, 2)


class Options(unittest.TestCase):
    """What the programs say of methods and of the options that go with them."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def attribute(self, *arguments):
        return run("attribute", *PICTURE, "--output", self.folder.name, *arguments)

    def test_a_mistyped_method_is_told_the_nearest_names(self):
        wanted = ("--model", DATA / "scenes.pt", "--images", DATA, "--output", self.folder.name, "--metrics", "gini")
        for done in (self.attribute("--method", "gradcam"), run("evaluate", *wanted, "--method", "vanilla,gradcam"),
                     run("dataset", *wanted, "--method", "vanilla", "gradcam")):
            if "without OpenSSL" in done.stderr:
                continue
            self.assertEqual(done.returncode, 2)
            self.assertEqual(done.stderr.splitlines()[0], "--method: there is no method 'gradcam'; the nearest are "
                                                          "'grad_cam', 'xgrad_cam', 'grad_cam_pp'")

    def test_several_methods_are_parted_by_commas_or_spaces_in_every_program(self):
        printed = [self.attribute(*names).stdout for names in (
            ("--method", "vanilla,grad_cam"), ("--method", "vanilla", "grad_cam"), ("--method", "vanilla", "--method", "grad_cam"),
            ("--method", "vanilla,grad_cam,vanilla"))]
        self.assertEqual(re.findall(r"(?m)^(\w+): shape", printed[0]), ["vanilla", "grad_cam"])
        self.assertEqual(printed, [printed[0]] * len(printed))
        for command in ("attribute", "evaluate", "dataset"):
            done = run(command, "--help")
            if "without OpenSSL" not in done.stderr:
                self.assertIn("several: a,b or a b", re.search(r"(?s)--method TEXT.*?--layer", done.stdout).group(0))

    def test_an_option_that_no_chosen_method_takes_gives_a_warning(self):
        done = self.attribute("--method", "vanilla", "blur_ig", "--samples", "3", "--baseline", "zero", "--steps", "2")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr, "warning: --samples has no effect on vanilla, blur_ig; it is for smooth_grad, "
                                      "smooth_grad_sq, var_grad, gradient_shap, shapley_sampling, kernel_shap, lime, rise, sobol, "
                                      "hsic\n"
                                      "warning: --baseline has no effect on vanilla, blur_ig; it is for "
                                      "integrated_gradients, idgi, guided_ig, gradient_shap, deep_lift, "
                                      "deep_lift_reveal_cancel, deep_lift_shap, occlusion, feature_ablation, shapley_sampling, "
                                      "shapley_exact, kernel_shap, lime, rise, sobol, hsic\n")
        done = self.attribute("--method", "vanilla", "smooth_grad", "--samples", "3", "--noise", "0.1", "--chunk", "2")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_tolerance_that_is_not_met_is_said(self):
        done = self.attribute("--method", "smooth_grad", "--samples", "12", "--tolerance", "0.01")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"(?m)^smooth_grad: the tolerance is not met after 12 draws, with a standard "
                                      r"error of 0\.\d+; more --samples may meet it$")
        figures = json.loads(pathlib.Path(self.folder.name, "prediction.json").read_text())["methods"]["smooth_grad"]
        self.assertIs(figures["converged"], False)
        done = self.attribute("--method", "smooth_grad", "--samples", "12", "--tolerance", "100")
        self.assertNotIn("tolerance", done.stdout)

    def test_how_many_numbers_a_colour_model_takes(self):
        done = self.attribute("--mean", "0.5")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr.splitlines()[0],
                         "--mean and --std: have 1 and 3 numbers: a colour model takes three of each, as --mean 0.5,0.5,0.5 "
                         "--std 0.25,0.25,0.25, one that takes gray one of each, as --mean 0.5 --std 0.25")
        done = self.attribute("--mean", "0.5", "--std", "0.5")
        self.assertEqual(done.returncode, 1)
        self.assertIn("3 channels", done.stderr)
        self.assertTrue(done.stderr.endswith("; a colour model takes three numbers, as --mean 0.5,0.5,0.5 --std 0.25,0.25,0.25\n"),
                        done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)


class Registry(unittest.TestCase):
    def test_the_table_of_the_documentation_is_the_registrys(self):
        page = (PROJECT / "docs" / "methods" / "README.md").read_text(encoding="utf-8")
        done = run("methods", "--markdown")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("\n\n" + done.stdout + "\n", page, "paste what `salience methods --markdown` prints")
        for title, name in re.findall(r"\[([^]]+)\]\((\w+\.md)\)", done.stdout):
            self.assertTrue((PROJECT / "docs" / "methods" / name).is_file(), f"{title}: there is no page {name}")

    def test_the_command_line_and_the_list_have_the_same_methods(self):
        table = re.findall(r"\| `(\w+)` \|", run("methods", "--markdown").stdout)
        self.assertGreater(len(table), 10)
        listed = re.findall(r"(?m)^(\w+) ", run("methods").stdout)
        self.assertEqual(listed, table)
        offered = re.search(r"--method TEXT:{([^}]+)}", run("attribute", "--help").stdout).group(1).split(",")
        self.assertEqual(offered, table)


if __name__ == "__main__":
    unittest.main(verbosity=2)
