"""Every attributor of the library is in the contract test's list.

    check_list.py INCLUDE_FOLDER CONTRACT_TEST
    check_list.py INCLUDE_FOLDER CONTRACT_TEST --self-test   # what is missing is found

An attributor is a class of include/salience/method whose call operator takes an input and a target and gives an
Attribution, or a class that derives from one. It must be named in the registry, whose methods the contract test takes,
or in the contract test itself. Classes in `detail` are not called by users.

And every such call operator enters by `enter` (method/entry.hpp), the one place that switches the caller's modes off.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

DELEGATES = {"AnyAttributor": "to the method in it", "GradientAttributor": "to gradient_at_input"}
CALL = re.compile(r"\bAttribution operator\(\)\(const at::Tensor& input,")
CLASS = re.compile(r"^(?:class|struct) (\w+)(?: final)?(?: : public ([\w:]+))?[^;{]*\{", re.M)


def classes(text):
    """(name, base, body, place) of each class at the level of the namespace; clang-format puts its end at the line's begin."""
    for found in CLASS.finditer(text):
        end = text.find("\n};", found.end())
        yield found[1], (found[2] or "").split("::")[-1], text[found.end() : end], found.start()


def attributors(folder):
    known, bases = {}, {}
    for header in sorted((folder / "salience/method").rglob("*.hpp")):
        text = header.read_text()
        for name, base, body, place in classes(text):
            begin = text.rfind("detail {\n", 0, place)
            private = begin >= 0 and "}  // namespace" not in text[begin:place]
            bases[name] = (base, header, private)
            call = CALL.search(body)
            if not call:
                continue
            known[name] = (header, private)
            operator = body[call.start() : body.find("\n  }\n", call.start())]
            if not private and name not in DELEGATES and "enter(input, target" not in operator:
                sys.exit(f"{header}: the call operator of {name} does not begin with enter")
    for name, (base, header, private) in bases.items():
        while base and base not in known:
            base = bases.get(base, ("",))[0]
        if base:
            known.setdefault(name, (header, private))
    return {name: header for name, (header, private) in known.items() if not private}


def main(folder, contract):
    found = attributors(Path(folder))
    registry = (Path(folder) / "salience/method/registry.hpp").read_text()
    listed = re.sub(r"(?m)//.*|^#include.*", "", registry + Path(contract).read_text())
    missing = [f"{header}: {name}" for name, header in found.items() if not re.search(rf"\b{name}\b", listed)]
    print(f"{len(found)} attributors: {', '.join(sorted(found))}")
    if missing:
        sys.exit("not in the contract test's list:\n  " + "\n  ".join(missing))


TOYS = {
    "toy.hpp: Toy": """template <class M>
class Toy {
 public:
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return enter(input, target, [&](const auto& wanted) { return gradient_(input, wanted); });
  }
};""",
    "the call operator of Forgetful does not": """template <class M>
class Forgetful {
 public:
  template <class T = TargetSelector<>>
  Attribution operator()(const at::Tensor& input, const T& target = T{}) const {
    return gradient_(input, target);
  }
};""",
    "toy.hpp: Derived": """class Derived : public GradientAttributor<int, GuidedRule> {
 public:
  explicit Derived(int model);
};""",
}


def self_test(folder, contract):
    for message, toy in TOYS.items():
        with tempfile.TemporaryDirectory() as scratch:
            shutil.copytree(folder, scratch, dirs_exist_ok=True)
            (Path(scratch) / "salience/method/toy.hpp").write_text(f"namespace salience {{\n\n{toy}\n\n}}\n")
            try:
                main(scratch, contract)
            except SystemExit as error:
                if message in str(error):
                    continue
            sys.exit(f"not found: {message}")


if __name__ == "__main__":
    if sys.argv[3:] == ["--self-test"]:
        self_test(*sys.argv[1:3])
    else:
        main(*sys.argv[1:])
