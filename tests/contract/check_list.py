"""Every attributor and every metric of the library is in the lists of the contract tests.

    check_list.py INCLUDE_FOLDER CONTRACT_TEST METRICS_TEST
    check_list.py INCLUDE_FOLDER CONTRACT_TEST METRICS_TEST --self-test   # what is missing is found

An attributor is a class of include/salience/method whose call operator takes an input and a target and gives an
Attribution, or a class that derives from one. It must be named in the registry, whose methods the contract test takes,
or in the contract test itself. Classes in `detail` are not called by users.

And every such call operator enters by `enter` (method/entry.hpp), the one place that switches the caller's modes off.

A metric is a class of include/salience/metric whose call operator takes an input, a class that derives from one, or a
function of maps that gives a tensor. It must be named in the test of the metrics, and every header there must hold one.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

DELEGATES = {"AnyAttributor": "to the method in it", "GradientAttributor": "to gradient_at_input"}
OF_A_BATCH = {"FeaturePermutation"}  # its values depend on the batch, by definition; by tests/method/shapley_test.cpp
CALL = re.compile(r"\bAttribution operator\(\)\(const at::Tensor& input,")
ENTRY = re.compile(r"\breturn enter\((?:input, target|[\w.()]+, input, target|\[)")
METRIC_CALL = re.compile(r"\boperator\(\)\(const at::Tensor& input,")
METRIC_FUNCTION = re.compile(r"^inline at::Tensor (\w+)\(const at::Tensor& ", re.M)
NO_METRICS = {"randomized_model.hpp"}  # the models of a RandomizationCheck, by tests/script/randomized_model_test.cpp
CLASS = re.compile(r"^(?:class|struct) (\w+)(?: final)?(?: : public ([\w:]+))?[^;{]*\{", re.M)


def classes(text):
    """(name, base, body, place) of each class at the level of the namespace; clang-format puts its end at the line's begin."""
    for found in CLASS.finditer(text):
        end = text.find("\n};", found.end())
        yield found[1], (found[2] or "").split("::")[-1], text[found.end() : end], found.start()


def is_private(text, place):
    begin = text.rfind("detail {\n", 0, place)
    return begin >= 0 and "}  // namespace" not in text[begin:place]


def attributors(folder):
    known, bases = {}, {}
    for header in sorted((folder / "salience/method").rglob("*.hpp")):
        text = header.read_text()
        for name, base, body, place in classes(text):
            private = is_private(text, place)
            bases[name] = (base, header, private)
            call = CALL.search(body)
            if not call:
                continue
            known[name] = (header, private)
            operator = body[call.start() : body.find("\n  }\n", call.start())]
            if not private and name not in DELEGATES and not ENTRY.search(operator):
                sys.exit(f"{header}: the call operator of {name} does not begin with enter")
    for name, (base, header, private) in bases.items():
        while base and base not in known:
            base = bases.get(base, ("",))[0]
        if base:
            known.setdefault(name, (header, private))
    return {name: header for name, (header, private) in known.items() if not private and name not in OF_A_BATCH}


def metrics(folder):
    found = {}
    for header in sorted((folder / "salience/metric").rglob("*.hpp")):
        text = header.read_text()
        calls = {name for name, _, body, _ in classes(text) if METRIC_CALL.search(body)}
        here = {name: header for name, base, _, place in classes(text)
                if (name in calls or base in calls) and not is_private(text, place)}
        here |= {f[1]: header for f in METRIC_FUNCTION.finditer(text) if not is_private(text, f.start())}
        if not here and header.name not in NO_METRICS:
            sys.exit(f"{header}: there is no metric in it that the test of the metrics could name")
        found |= here
    return found


def require_listed(what, found, text):
    listed = re.sub(r"(?m)//.*|^#include.*", "", text)
    missing = [f"{header}: {name}" for name, header in found.items() if not re.search(rf"\b{name}\(|<{name}, ", listed)]
    print(f"{len(found)} {what}: {', '.join(sorted(found))}")
    if missing:
        sys.exit("not in the contract test's list:\n  " + "\n  ".join(missing))


def main(folder, contract, of_metrics):
    registry = (Path(folder) / "salience/method/registry.hpp").read_text()
    require_listed("attributors", attributors(Path(folder)), registry + Path(contract).read_text())
    require_listed("metrics", metrics(Path(folder)), Path(of_metrics).read_text())


# What is said of a header, and the room that it is put in.
TOYS = {
    "toy.hpp: Toy": ("method", """template <class M>
class Toy {
 public:
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) { return gradient_(input, wanted); });
  }
};"""),
    "the call operator of Forgetful does not": ("method", """template <class M>
class Forgetful {
 public:
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return gradient_(input, target);
  }
};"""),
    "toy.hpp: Derived": ("method", """class Derived : public GradientAttributor<int, GuidedRule> {
 public:
  explicit Derived(int model);
};"""),
    "toy.hpp: Measure": ("metric", """template <class M>
class Measure {
 public:
  at::Tensor operator()(const at::Tensor& input, const Attribution& attribution) const {
    return enter([&] { return attribution.values.sum(); });
  }
};"""),
    "toy.hpp: deviation": ("metric", """inline at::Tensor deviation(const at::Tensor& values, double scale) {
  return values.std(scale);
}"""),
    "toy.hpp: there is no metric in it": ("metric", "double number();"),
}


def self_test(folder, *tests):
    for message, (room, toy) in TOYS.items():
        with tempfile.TemporaryDirectory() as scratch:
            shutil.copytree(folder, scratch, dirs_exist_ok=True)
            (Path(scratch) / f"salience/{room}/toy.hpp").write_text(f"namespace salience {{\n\n{toy}\n\n}}\n")
            try:
                main(scratch, *tests)
            except SystemExit as error:
                if message in str(error):
                    continue
            sys.exit(f"not found: {message}")


if __name__ == "__main__":
    if sys.argv[4:] == ["--self-test"]:
        self_test(*sys.argv[1:4])
    else:
        main(*sys.argv[1:])
