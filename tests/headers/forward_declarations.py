"""fwd.hpp declares every public class, class template and enumeration, and nothing else.

    forward_declarations.py INCLUDE_FOLDER

That each declaration agrees with its definition, the compiler says (tests/headers/CMakeLists.txt).
"""

import pathlib
import re
import sys

# A definition at the outermost level of namespace salience, with the parameters of its template. A specialisation is left
# out, and so is what a concept constrains, which needs the concept's header.
TYPE = re.compile(r"^(?:template <(?P<parameters>[^\n]*)>\n)?"
                  r"(?P<key>class|struct|enum class) (?P<name>\w+)(?: final)?(?P<end> ?[:{;])", re.MULTILINE)
NAMESPACE = re.compile(r"^namespace salience \{\n(.*?)^\}  // namespace salience\n", re.MULTILINE | re.DOTALL)
DETAIL = re.compile(r"^namespace detail \{\n(.*?)^\}  // namespace detail\n", re.MULTILINE | re.DOTALL)


def parameters(text):
    """The kinds of a template's parameters, without names and defaults; None if a concept constrains one."""
    kinds = []
    for parameter in text.split(",") if text else []:
        kind = re.match(r"\s*(class(?:\.\.\.)?)\s", parameter)
        if not kind:
            return None
        kinds.append(kind[1])
    return kinds


def types(text, end):
    found = {}
    for part in NAMESPACE.findall(text):
        for match in TYPE.finditer(DETAIL.sub("", part)):
            kinds = parameters(match["parameters"])
            if (match["end"].strip() in end) and kinds is not None:
                found[match["name"]] = (match["key"], kinds)
    return found


def main(folder):
    root = pathlib.Path(folder) / "salience"
    declared = types((root / "fwd.hpp").read_text(encoding="utf-8"), ";")
    defined = {}
    for path in root.rglob("*.hpp"):
        if path.parent.name != "detail" and path.name != "fwd.hpp":
            defined.update(types(path.read_text(encoding="utf-8"), ":{"))
    wrong = [f"fwd.hpp leaves out {name}" for name in sorted(defined.keys() - declared.keys())]
    wrong += [f"fwd.hpp declares {name}, which no header defines" for name in sorted(declared.keys() - defined.keys())]
    wrong += [f"fwd.hpp declares {name} as {declared[name]}, but it is {defined[name]}"
              for name in sorted(declared.keys() & defined.keys()) if declared[name] != defined[name]]
    print("\n".join(wrong) or f"fwd.hpp declares all {len(defined)} types")
    return bool(wrong) or len(defined) < 50


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
