"""The newest version in the changelog is the library's: check_version.py CHANGELOG VERSION_HPP

Before the first release there is none in the changelog; then there must be a section of what is unreleased.
"""

import pathlib
import re
import sys


def complaint(changelog, header):
    """What is wrong, or nothing."""
    version = re.search(r'#define SALIENCE_VERSION "([\d.]+)"', header)[1]
    parts = [re.search(rf"#define SALIENCE_VERSION_{part} (\d+)", header)[1] for part in ("MAJOR", "MINOR", "PATCH")]
    sections = re.findall(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)
    released = [section for section in sections if section != "Unreleased"]
    if ".".join(parts) != version:
        return f"version.hpp says {version}, and {'.'.join(parts)} in its parts"
    if not sections:
        return "the changelog has no section"
    if released and released[0] != version:
        return f"the changelog's newest version is {released[0]}, version.hpp says {version}"
    return ""


if __name__ == "__main__":
    said = complaint(*(pathlib.Path(path).read_text(encoding="utf-8") for path in sys.argv[1:3]))
    print(said or "the versions agree")
    sys.exit(bool(said))
