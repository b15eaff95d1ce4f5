"""Every sentence that a static_assert or an #error says is the first error of a case here: every_sentence.py INCLUDE_FOLDER"""

import pathlib
import re
import sys

# The condition holds no text; the sentence is one literal or several in a row.
SENTENCE = re.compile(r'(?:static_assert\([^"]*|#error (?="Salience: ))"((?:[^"]|"\s*")*)"')


def main(folder):
    cases = pathlib.Path(__file__).parent.glob("*.cpp")
    expected = [case.read_text(encoding="utf-8").splitlines()[0].removeprefix("// expect: ") for case in cases]
    missing, said = [], 0
    for header in sorted(pathlib.Path(folder).rglob("*.hpp")):
        for literals in SENTENCE.findall(header.read_text(encoding="utf-8")):
            sentence = re.sub(r'"\s*"', "", literals)
            said += 1
            if not any(re.search(pattern, sentence) for pattern in expected):
                missing.append(f"{header}: no case expects '{sentence}'")
    print("\n".join(missing) or f"each of {said} sentences has its case")
    return bool(missing) or not said


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
