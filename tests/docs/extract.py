"""Turns the C++ blocks of Markdown pages into one program that runs them in order: extract.py [OPTION...] OUTPUT PAGE...

A block ```cpp is the body of a function. What a function cannot hold (a class template) stands in a block ```cpp header,
which the blocks after it on the same page see. Blocks marked opencv, too, are left out without --opencv.
With --torchscript they load the shipped network as TorchScript, for a LibTorch that reads nothing else.
"""

import pathlib
import re
import sys


def blocks(page, with_opencv):
    """(line, whether it is a header, code) of each ```cpp block."""
    text = pathlib.Path(page).read_text(encoding="utf-8")
    for match in re.finditer(r"^```cpp( header)?( opencv)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if with_opencv or not match[2]:
            yield text.count("\n", 0, match.start()) + 2, bool(match[1]), match[3]


def main(*arguments):
    options = [argument for argument in arguments if argument.startswith("--")]
    output, *pages = arguments[len(options):]
    includes, bodies, names = ["#include <iostream>"], [], []
    for number, page in enumerate(pages):
        seen = ""
        for line, is_header, code in blocks(page, "--opencv" in options):
            if "--torchscript" in options:
                code = code.replace("scenes.pt2", "scenes.pt")
            name = f"{pathlib.Path(page).name}:{line}"
            code_lines = code.splitlines()
            includes += [text for text in code_lines if text.startswith("#include")]
            body = "\n".join("" if text.startswith("#include") else text for text in code_lines)
            place = f'#line {line} "{pathlib.Path(page).resolve()}"\n'
            if is_header:
                bodies.append(f"namespace page_{number} {{\n{place}{body}\n}}\n")
                seen = f"using namespace page_{number};\n"
                continue
            names.append(name)
            bodies.append(f"void block_{len(names)}() {{\n{seen}{place}{body}\n}}\n")
    if not names:
        sys.exit("no page has a C++ block")
    calls = "".join(f'  std::cout << "== {name}" << std::endl;\n  block_{i}();\n' for i, name in enumerate(names, 1))
    unique = "\n".join(dict.fromkeys(includes))
    pathlib.Path(output).write_text(f"{unique}\n\n{''.join(bodies)}\nint main() {{\n{calls}}}\n", encoding="utf-8")


main(*sys.argv[1:])
