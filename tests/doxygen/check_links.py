"""Does every link between the HTML pages of a folder lead somewhere? check_links.py FOLDER

A link, a picture, a script or a style sheet must be a file there, and what stands behind # a place in that file.
Addresses of other hosts are not asked.
"""

import html.parser
import pathlib
import sys
import urllib.parse


# Doxygen 1.9 also writes this link where all nested classes are private, and then leaves out what it leads to.
PRIVATE = "#nested-classes"


class Page(html.parser.HTMLParser):
    """The places in a page, and where it leads."""

    def __init__(self, path):
        super().__init__()
        self.places, self.targets = set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("id", "name") and value:
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.targets.append((self.getpos()[0], value))


def dead_links(folder):
    """The dead links, and how many are alive."""
    pages = {path.name: Page(path) for path in folder.glob("*.html")}
    dead, alive = [], 0
    for name, page in sorted(pages.items()):
        for line, target in page.targets:
            url = urllib.parse.urlsplit(target)
            if url.scheme or url.netloc or target == PRIVATE:
                continue
            path = urllib.parse.unquote(url.path) or name
            place = urllib.parse.unquote(url.fragment)
            found = path in pages or (folder / path).is_file()
            if found and not (place and path in pages and place not in pages[path].places):
                alive += 1
            else:
                dead.append(f"{folder / name}:{line}: {target}")
    return dead, alive


if __name__ == "__main__":
    dead, alive = dead_links(pathlib.Path(sys.argv[1]))
    print("\n".join(dead))
    print(f"{len(dead)} dead links, {alive} that lead somewhere")
    sys.exit(bool(dead) or not alive)
