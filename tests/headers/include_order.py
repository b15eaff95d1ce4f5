"""A header includes only what stands above it in include/layers.txt, and LibTorch only as its layer may.

    include_order.py INCLUDE_FOLDER     checks the headers below INCLUDE_FOLDER/salience; exit 1 names each offence
    include_order.py --self-test        checks that each rule catches what breaks it
"""

import pathlib
import re
import sys
import tempfile

PRIVATE = {"tensor", "graph"}  # rooms that no user names
OPTIONAL = {"salience/version.hpp", "salience/fwd.hpp"}  # salience.hpp need not name them

LIBTORCH = re.compile(r"(torch|ATen|c10|caffe2)/")
# Of LibTorch, what a layer may include: "small" are the headers that cost little; see docs/architecture.md.
SMALL = r"ATen/(?!ATen\.h|Functions\.h|ops/(?!\w+_ops\.h))|c10/"
OF_LIBTORCH = {
    "none": re.compile(r"(?!)"),
    "small": re.compile(SMALL),
    "autograd": re.compile(SMALL + r"|torch/csrc/autograd/"),
    "script": re.compile(r"(?!torch/torch\.h|torch/all\.h)"),
}


def read_layers(text):
    """The lines of include/layers.txt: (pattern, LibTorch, the rooms that may be included)."""
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(pattern, libtorch, rooms) for pattern, libtorch, *rooms in lines]


def room(header):
    """salience/method/detail/x.hpp is in the room method, salience/error.hpp in the room error."""
    return pathlib.PurePosixPath(header).with_suffix("").parts[1]


def includes(folder):
    """Every header below folder/salience with what it includes, in order."""
    line = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
    return {
        path.relative_to(folder).as_posix(): line.findall(path.read_text(encoding="utf-8"))
        for path in sorted((folder / "salience").rglob("*.hpp"))
    }


def table_offences(layers):
    """A room may include only rooms whose lines stand above its own."""
    seen = set()
    for pattern, libtorch, rooms in layers:
        here = room("salience/" + pattern)
        seen.add(here)
        if libtorch not in OF_LIBTORCH:
            yield f"layers.txt: {pattern} has '{libtorch}' for LibTorch"
        for other in (each.removesuffix("/detail") for each in rooms):
            if other == here or other not in seen:
                yield f"layers.txt: {pattern} includes '{other}', which does not stand above it"


def offences(folder, layers):
    yield from table_offences(layers)
    graph = includes(folder)

    def layer(header):
        return next((line for line in layers if header.startswith("salience/" + line[0])), None)

    for header, included in graph.items():
        here = room(header)
        if layer(header) is None:
            yield f"{header}: there is no room '{here}' in layers.txt"
            continue
        _, libtorch, above = layer(header)
        for bracket, name in included:
            if bracket == '"':
                yield f'{header}: write <{name}> instead of "{name}"'
            if name.startswith("salience/"):
                if name not in graph:
                    yield f"{header}: there is no {name}"
                elif room(name) != here and room(name) not in above:
                    yield f"{header}: {here} must not include {name}"
                elif "/detail/" in name and room(name) != here and not header.endswith("salience.hpp"):
                    # What is shared between rooms stands in neither's detail.
                    if room(name) + "/detail" not in above:
                        yield f"{header}: {name} is a detail of {room(name)}"
            elif LIBTORCH.match(name) and not OF_LIBTORCH[libtorch].match(name):
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
        if layer(header):
            for name in sorted(filter(LIBTORCH.match, reached[header])):
                if not OF_LIBTORCH[layer(header)[1]].match(name) and name not in [each for _, each in graph[header]]:
                    yield f"{header}: reaches <{name}>, which is too big for this layer"

    # salience.hpp reaches every header that users meet, and names each after what it includes.
    whole = [name for _, name in graph.get("salience/salience.hpp", [])]
    if whole:
        for header in sorted(graph.keys() - reached["salience/salience.hpp"] - OPTIONAL - {"salience/salience.hpp"}):
            if "/detail/" not in header and room(header) not in PRIVATE:
                yield f"salience/salience.hpp: leaves out {header}"
        for place, name in enumerate(whole):
            for later in whole[place + 1:]:
                if later in reached.get(name, ()) and name not in reached[later]:
                    yield f"salience/salience.hpp: names {name} before {later}, which it includes"


GOOD_LAYERS = """
error.hpp   none
picture/    none      error
tensor/     small     error
graph/      script    tensor
model/script_ script  graph
model/      small
method/     autograd  model
view/       small     picture picture/detail method
salience.hpp script   error picture model method view
"""


def self_test():
    good = {
        "error": "",
        "tensor/tensor": "ATen/core/Tensor.h salience/error.hpp",
        "graph/graph": "torch/script.h",
        "picture/image": "salience/error.hpp",
        "picture/detail/loops": "",
        "model/concepts": "ATen/core/Tensor.h",
        "model/script_model": "torch/script.h salience/graph/graph.hpp",
        "method/detail/nodes": "",
        "method/gradient": "salience/model/concepts.hpp ATen/ops/empty_ops.h torch/csrc/autograd/function.h",
        "view/view": "salience/picture/detail/loops.hpp",
        "salience": "salience/error.hpp salience/picture/image.hpp salience/model/concepts.hpp "
                    "salience/model/script_model.hpp salience/method/gradient.hpp salience/view/view.hpp",
    }
    broken = {  # the complaint, and what one header includes to deserve it
        "<ATen/core/Tensor.h> is too big": ("picture/image", "ATen/core/Tensor.h"),
        "picture/image.hpp: reaches <ATen/core/Tensor.h>": ("picture/image", "salience/tensor/tensor.hpp"),
        "model/concepts.hpp: reaches <torch/script.h>": ("model/concepts", "salience/model/script_model.hpp"),
        "picture must not include": ("picture/image", "salience/method/gradient.hpp"),
        "method must not include salience/picture": ("method/gradient", "salience/picture/image.hpp"),
        "nodes.hpp is a detail of method": ("view/view", "salience/method/detail/nodes.hpp"),
        "<torch/script.h> is too big": ("method/gradient", "torch/script.h"),
        "model/script_model.hpp: <torch/torch.h> is too big": ("model/script_model", "torch/torch.h"),
        "<torch/csrc/autograd/function.h> is too big": ("model/concepts", "torch/csrc/autograd/function.h"),
        "<ATen/ops/empty.h> is too big": ("tensor/tensor", "ATen/ops/empty.h"),
        "<ATen/ATen.h> is too big": ("tensor/tensor", "ATen/ATen.h"),
        "includes itself in a circle": ("picture/image", "salience/picture/image.hpp"),
        "there is no salience/error2.hpp": ("picture/image", "salience/error2.hpp"),
        "leaves out salience/method/gradient.hpp": ("salience", "salience/error.hpp"),
        "leaves out salience/method/lost.hpp": ("method/lost", ""),
        "names salience/picture/image.hpp before salience/error.hpp": (
            "salience", "salience/picture/image.hpp salience/error.hpp"),
        "there is no room 'cellar'": ("cellar/wine", ""),
    }
    layers = read_layers(GOOD_LAYERS)
    failures = []
    for complaint, (header, included) in [(None, ("error", "")), *broken.items()]:
        with tempfile.TemporaryDirectory() as folder:
            for name, names in {**good, header: included}.items():
                path = pathlib.Path(folder, "salience", name + ".hpp")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(f"#include <{each}>\n" for each in names.split()))
            said = list(offences(pathlib.Path(folder), layers))
        if complaint is None and said:
            failures.append(f"complains of a good tree: {said}")
        if complaint is not None and not any(complaint in each for each in said):
            failures.append(f"does not say '{complaint}' of {header}, but {said}")
    for line in ("picture/ none method", "method/ some"):
        if not list(table_offences(read_layers("error.hpp none\n" + line))):
            failures.append(f"takes the line '{line}'")
    return failures


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--self-test":
        found, praise = self_test(), "each rule catches what breaks it"
    else:
        folder = pathlib.Path(sys.argv[1])
        found = list(offences(folder, read_layers((folder / "layers.txt").read_text(encoding="utf-8"))))
        praise = "every header includes only what stands above it"
    print("\n".join(found) or praise)
    sys.exit(bool(found))
