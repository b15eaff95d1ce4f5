"""Is every file there that a page or a header's comment names in backticks? check_paths.py PROJECT

Paths are taken as from the project's folder, include/salience, tests or docs, or from the page's own folder.
"""

import pathlib
import re
import sys

# `method/noise.hpp`, also with an #include's brackets, arguments behind it or :line
PATH = re.compile(r"`<?((?:[\w.-]+/)+[\w.-]+\.(?:hpp|cpp|py|sh|md|txt|cmake))\b[^`\n]*`")
EXAMPLE = "sign_gradient"  # the method that CONTRIBUTING.md adds


def missing(root):
    """The names that lead nowhere, and how many lead somewhere."""
    folders = [root, root / "include", root / "include/salience", root / "tests", root / "docs"]
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "examples").rglob("*.md"),
             *(root / "include").rglob("*.hpp")]
    wrong, right = [], 0
    for page in sorted(pages):
        if page.name == "CHANGELOG.md":  # tells of what was
            continue
        text = page.read_text(encoding="utf-8")
        for match in PATH.finditer(text):
            name = match[1]
            if EXAMPLE in name or name.startswith(("torch/", "ATen/", "nlohmann/", "build/")):
                continue
            if any((folder / name).is_file() for folder in [*folders, page.parent]):
                right += 1
            else:
                wrong.append(f"{page}:{text.count(chr(10), 0, match.start()) + 1}: {name}")
    return wrong, right


if __name__ == "__main__":
    wrong, right = missing(pathlib.Path(sys.argv[1]))
    print("\n".join(wrong))
    print(f"{len(wrong)} names of files lead nowhere, {right} lead somewhere")
    sys.exit(bool(wrong) or right < 50)
