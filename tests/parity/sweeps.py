"""What the tests share that try many networks: a short form in the tests, and a long one on the command line."""

import argparse
import json
import pathlib
import time
import unittest

from peers import ScriptTool


def try_some(case, names, fewest, seconds, attempt, told, check=lambda result: None):
    """Tries the networks in turn as subtests, `fewest` of them and more until so many seconds have passed. What
    `attempt(tool, name)` says of each must have no faults, and is handed to `check`."""
    tool = case.enterContext(ScriptTool())
    end, done = time.monotonic() + seconds, 0
    for name in names:
        if done >= fewest and time.monotonic() > end:
            break
        with case.subTest(name):
            result = attempt(tool, name)
            print(told(result), flush=True)
            case.assertNotIn("skipped", result)
            case.assertEqual(result["faults"], [])
            check(result)
        done += 1
    print(f"{done} of {len(names)} networks")


def worst_cell(result, belongs):
    """The worst deviation of a result in the ways that belong to a column."""
    values = [value for way, value in result["worst"].items() if belongs(way)]
    return f"{max(values):.0e}" if values else ""


def options():
    """Those of the long form; a test may add its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--names", nargs="+")
    parser.add_argument("--report", type=pathlib.Path)
    parser.add_argument("--log", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    return parser


def main(parser, every, attempt, told, table):
    """The tests; with --all or --names the long form, whose `attempt(tool, name, options)` tries one network."""
    chosen, rest = parser.parse_known_args()
    if not chosen.all and not chosen.names:
        unittest.main(module="__main__", argv=[parser.prog, *rest], verbosity=2, warnings="ignore")
    results = []
    if chosen.log and chosen.log.exists():
        results = [json.loads(line) for line in chosen.log.read_text().splitlines()]
    end = time.monotonic() + chosen.seconds
    with ScriptTool() as tool:
        for name in chosen.names or every:
            if name in {result["name"] for result in results} or time.monotonic() > end:
                continue
            results.append(attempt(tool, name, chosen))
            print(told(results[-1]), flush=True)
            if chosen.log:
                with chosen.log.open("a") as file:
                    file.write(json.dumps(results[-1]) + "\n")
    if chosen.report:
        chosen.report.write_text(table(results))
    print(f"{sum('skipped' not in result for result in results)} networks, "
          f"{sum(bool(result.get('faults')) for result in results)} with faults")
