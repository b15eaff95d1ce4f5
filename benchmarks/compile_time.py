"""What does each header, and a user's file, cost to compile? Seconds of one core, g++ -O1, no precompiled header, no cache.

compile_time.py BUILD [PART OF A NAME...]      BUILD: a ninja tree with the benchmarks, whose include paths are taken
"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
USER = "a user's file: model, gradient, picture"

# The budgets of docs/architecture.md.
LAYERS = (
    ("script", r"graph/|io/pt|model/(graph_|script_|exported_|load_)|metric/randomized_|salience\.hpp|" + re.escape(USER), 20),
    ("rules", r"method/(rectifiers|backward_rule|guided_|explanation)", 8),
    ("picture", r"picture/|error|version|file|fwd", 1),
    ("tensor", r"", 5),
)
USER_FILE = """#include <salience/method/gradient_attributor.hpp>
#include <salience/model/script_model.hpp>
#include <salience/input/preprocessor.hpp>
#include <salience/picture/image_io.hpp>
#include <salience/view/attribution_processor.hpp>
namespace sal = salience;
int main(int, char** argv) {
  sal::GradientAttributor vanilla{sal::ScriptModel::load(argv[1])};
  const auto preprocess = sal::imagenet_preprocessor();
  const sal::Attribution a = vanilla(preprocess(sal::load_image(argv[2])));
  sal::AttributionProcessor view{{.activation = sal::Activation::abs, .skew = 0.5, .colormap = "coolwarm"}};
  sal::save_image(argv[3], view(a.values));
}
"""


def include_options(build):
    commands = json.loads(subprocess.run(["ninja", "-C", build, "-t", "compdb"], check=True, capture_output=True).stdout)
    command = next(c["command"] for c in commands if c["file"].endswith("benchmarks/backward_pass.cpp"))
    words = shlex.split(command)
    options = [w for w in words if w.startswith(("-I", "-D", "-std="))]
    for option, value in zip(words, words[1:]):
        if option == "-isystem":
            options += [option, value]
    return options


def seconds(source, options, folder):
    """User and system time of the compiler's processes."""
    path = pathlib.Path(folder) / "file.cpp"
    path.write_text(source)
    command = [os.environ.get("CXX", "g++"), *options, "-O1", "-c", str(path), "-o", str(path.with_suffix(".o"))]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"does not compile:\n{source}")
    return usage.ru_utime + usage.ru_stime


def measure(build, parts=()):
    """[{name, layer, budget, seconds}], in the order of the tree."""
    include = ROOT / "include"
    headers = (str(p.relative_to(include)) for p in sorted(include.glob("salience/**/*.hpp")))
    sources = {name: f"#include <{name}>\n" for name in headers if "/detail/" not in name}
    sources[USER] = USER_FILE
    options = include_options(build)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, source in sources.items():
            if parts and not any(part in name for part in parts):
                continue
            layer, _, budget = next(row for row in LAYERS if re.search(row[1], name))
            rows.append({"name": name, "layer": layer, "budget": budget, "seconds": seconds(source, options, folder)})
            print(f"{rows[-1]['seconds']:6.1f} s of {budget:2}  {name}", flush=True)
    return rows


if __name__ == "__main__":
    measure(sys.argv[1], sys.argv[2:])
