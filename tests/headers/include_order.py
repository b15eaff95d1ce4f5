"""A header includes only what stands above it (docs/architecture.md), and LibTorch only as its layer may.

    include_order.py INCLUDE_FOLDER     checks the headers below INCLUDE_FOLDER/salience; exit 1 names each offence
    include_order.py --self-test        checks that each rule catches what breaks it
"""

import pathlib
import re
import sys
import tempfile

# What a room may include beside itself and the standard library. The order is the way of the data.
ABOVE = {
    "version": "",
    "fwd": "",
    "error": "version",
    "file": "error",
    "detail": "error file",
    "picture": "error file detail",
    "input": "error detail picture",
    "model": "error detail",
    "target": "error file detail model",
    "method": "error detail model target",
    "view": "error detail picture input target method",
    "metric": "error detail picture input model target method view",
    "script": "error file detail model target",
    "salience": "version error file detail picture input model target method view metric script",
}
PICTURES = {"version", "fwd", "error", "file", "picture"}  # the layer without LibTorch
OPTIONAL = {"salience/version.hpp", "salience/fwd.hpp"}  # salience.hpp need not name them

LIBTORCH = re.compile(r"(torch|ATen|c10|caffe2)/")
# The small headers, which every room above the pictures may include; see the layers in docs/architecture.md.
CHEAP = re.compile(r"ATen/(?!ATen\.h|Functions\.h|ops/(?!\w+_ops\.h))|c10/")
AUTOGRAD = re.compile(r"torch/csrc/autograd/")


def room(header):
    """salience/method/x.hpp is in the room method; whatever needs <torch/script.h> is in the room script."""
    parts = pathlib.PurePosixPath(header).with_suffix("").parts[1:]
    return "script" if len(parts) > 1 and parts[-1].startswith("script_") else parts[0]


def includes(folder):
    """Every header below folder/salience with what it includes, in order."""
    line = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
    return {
        path.relative_to(folder).as_posix(): line.findall(path.read_text(encoding="utf-8"))
        for path in sorted((folder / "salience").rglob("*.hpp"))
    }


def offences(folder):
    graph = includes(folder)
    for header, included in graph.items():
        here = room(header)
        if here not in ABOVE:
            yield f"{header}: there is no room '{here}' in include_order.py"
            continue
        for bracket, name in included:
            if bracket == '"':
                yield f'{header}: write <{name}> instead of "{name}"'
            if name.startswith("salience/"):
                if name not in graph:
                    yield f"{header}: there is no {name}"
                elif room(name) != here and room(name) not in ABOVE[here].split():
                    yield f"{header}: {here} must not include {name}"
            elif LIBTORCH.match(name):
                if here in PICTURES:
                    yield f"{header}: pictures know nothing of LibTorch, but this includes <{name}>"
                elif not (here == "script" or CHEAP.match(name) or (here == "method" and AUTOGRAD.match(name))):
                    yield f"{header}: <{name}> is too big for this layer"

    # What a header reaches, itself included if there is a cycle.
    def reach(header):
        seen, ahead = set(), [header]
        while ahead:
            for _, name in graph.get(ahead.pop(), []):
                if name not in seen:
                    seen.add(name)
                    ahead.append(name)
        return seen

    reached = {header: reach(header) for header in graph}
    for header in graph:
        if header in reached[header]:
            yield f"{header}: includes itself in a circle"
        if room(header) in PICTURES:
            for name in sorted(filter(LIBTORCH.match, reached[header])):
                yield f"{header}: pictures know nothing of LibTorch, but this reaches <{name}>"

    # salience.hpp names every header that users meet, each after what it includes.
    whole = [name for _, name in graph.get("salience/salience.hpp", [])]
    if whole:
        for header in sorted(graph.keys() - set(whole) - OPTIONAL - {"salience/salience.hpp"}):
            if not header.startswith("salience/detail/"):
                yield f"salience/salience.hpp: leaves out {header}"
        for place, name in enumerate(whole):
            for later in whole[place + 1:]:
                if later in reached.get(name, ()) and name not in reached[later]:
                    yield f"salience/salience.hpp: names {name} before {later}, which it includes"


def self_test():
    good = {
        "error": "",
        "detail/tensor": "ATen/core/Tensor.h salience/error.hpp",
        "detail/script_graph": "torch/script.h",
        "picture/image": "salience/error.hpp",
        "model/concepts": "ATen/core/Tensor.h",
        "model/script_model": "torch/script.h salience/detail/script_graph.hpp",
        "method/gradient": "salience/model/concepts.hpp ATen/ops/empty_ops.h torch/csrc/autograd/function.h",
        "salience": "salience/error.hpp salience/picture/image.hpp salience/model/concepts.hpp "
                    "salience/model/script_model.hpp salience/method/gradient.hpp",
    }
    broken = {  # the complaint, and what one header includes to deserve it
        "pictures know nothing of LibTorch, but this includes": ("picture/image", "ATen/core/Tensor.h"),
        "pictures know nothing of LibTorch, but this reaches": ("picture/image", "salience/detail/tensor.hpp"),
        "picture must not include": ("picture/image", "salience/method/gradient.hpp"),
        "method must not include salience/picture": ("method/gradient", "salience/picture/image.hpp"),
        "method must not include salience/model/script": ("method/gradient", "salience/model/script_model.hpp"),
        "<torch/script.h> is too big": ("method/gradient", "torch/script.h"),
        "<torch/torch.h> is too big": ("model/concepts", "torch/torch.h"),
        "<torch/csrc/autograd/function.h> is too big": ("model/concepts", "torch/csrc/autograd/function.h"),
        "<ATen/ops/empty.h> is too big": ("detail/tensor", "ATen/ops/empty.h"),
        "<ATen/ATen.h> is too big": ("detail/tensor", "ATen/ATen.h"),
        "includes itself in a circle": ("picture/image", "salience/picture/image.hpp"),
        "there is no salience/error2.hpp": ("picture/image", "salience/error2.hpp"),
        "leaves out salience/method/gradient.hpp": ("salience", "salience/error.hpp"),
        "names salience/picture/image.hpp before salience/error.hpp": (
            "salience", "salience/picture/image.hpp salience/error.hpp"),
        "there is no room 'cellar'": ("cellar/wine", ""),
    }
    failures = []
    for complaint, (header, included) in [(None, ("error", "")), *broken.items()]:
        with tempfile.TemporaryDirectory() as folder:
            for name, names in {**good, header: included}.items():
                path = pathlib.Path(folder, "salience", name + ".hpp")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(f"#include <{each}>\n" for each in names.split()))
            said = list(offences(pathlib.Path(folder)))
        if complaint is None and said:
            failures.append(f"complains of a good tree: {said}")
        if complaint is not None and not any(complaint in each for each in said):
            failures.append(f"does not say '{complaint}' of {header}, but {said}")
    return failures


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--self-test":
        found, praise = self_test(), "each rule catches what breaks it"
    else:
        found, praise = list(offences(pathlib.Path(sys.argv[1]))), "every header includes only what stands above it"
    print("\n".join(found) or praise)
    sys.exit(bool(found))
