"""Turns the C++ blocks of Markdown pages into one program that runs them in order: extract.py OUTPUT PAGE..."""

import pathlib
import re
import sys


def blocks(page):
    """(line, code) of each ```cpp block."""
    text = pathlib.Path(page).read_text(encoding="utf-8")
    for match in re.finditer(r"^```cpp\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, match.start()) + 2, match[1]


def main(output, *pages):
    includes, bodies, names = ["#include <iostream>"], [], []
    for page in pages:
        for line, code in blocks(page):
            name = f"{pathlib.Path(page).name}:{line}"
            code_lines = code.splitlines()
            includes += [text for text in code_lines if text.startswith("#include")]
            body = "\n".join("" if text.startswith("#include") else text for text in code_lines)
            names.append(name)
            bodies.append(f'void block_{len(names)}() {{\n#line {line} "{pathlib.Path(page).resolve()}"\n{body}\n}}\n')
    if not names:
        sys.exit("no page has a C++ block")
    calls = "".join(f'  std::cout << "== {name}" << std::endl;\n  block_{i}();\n' for i, name in enumerate(names, 1))
    unique = "\n".join(dict.fromkeys(includes))
    pathlib.Path(output).write_text(f"{unique}\n\n{''.join(bodies)}\nint main() {{\n{calls}}}\n", encoding="utf-8")


main(*sys.argv[1:])
