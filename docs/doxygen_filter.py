#!/usr/bin/env python3
"""Makes a page that is written for GitHub one that Doxygen understands: doxygen_filter.py PAGE, to standard output.

Formulas get Doxygen's marks, every heading a name of its own, and a link to another page becomes a reference, which
Doxygen checks. What is no page (a folder of sources) is named and not linked.
"""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]\[]*)\]\((?P<target>[^)#\s]*)#?(?P<fragment>[^)\s]*)\)"
                  r"(?P<after>[.,;:)]*)")


def label(page, anchor=""):
    """What Doxygen calls a page, or one of its headings."""
    if page == ROOT / "README.md" and not anchor:
        return "mainpage"
    name = page.relative_to(ROOT).with_suffix("").as_posix() + ("/" + anchor if anchor else "")
    return re.sub(r"\W", "_", name).lower()


def anchor(heading):
    """GitHub's name for a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def link(page, match):
    """A link or a picture ("!") for Doxygen, which knows pages by their labels, and pictures from the project's folder."""
    picture, text, target, fragment = match["picture"], match["text"], match["target"], match["fragment"]
    after = match["after"]
    if re.match(r"\w+:", target):
        return match[0]
    place = pathlib.Path(os.path.normpath(page.parent / target)) if target else page
    if picture:
        return f"![{text}]({place.relative_to(ROOT).as_posix()}){after}"
    if (place / "README.md").exists():
        place /= "README.md"
    if place.exists() and place.suffix != ".md":
        return text + after
    # Doxygen wants a reference on one line, and no line to begin with a full stop; the line numbers in its warnings stay
    # those of the page.
    return f"[{' '.join(text.split())}](@ref {label(place, fragment)}){after}" + "\n" * text.count("\n")


def convert(page):
    parts = re.split(r"(^```.*?^```$)", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for i, part in enumerate(parts):
        if i % 2:  # a block of code; Doxygen knows the language by its first word
            parts[i] = re.sub(r"^```(cpp .*|c\+\+)$", "```cpp", part, flags=re.MULTILINE)
            continue
        part = HEADING.sub(lambda m: f"{m[0]} {{#{label(page, '' if m[1] == '#' else anchor(m[2]))}}}", part)
        part = re.sub(r"\$\$(.*?)\$\$", r"\\f[\1\\f]", part, flags=re.DOTALL)
        part = re.sub(r"\$([^$\n]+)\$", r"\\f$\1\\f$", part)
        parts[i] = LINK.sub(lambda m: link(page, m), part)
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    print(convert(pathlib.Path(sys.argv[1]).resolve()), end="")
