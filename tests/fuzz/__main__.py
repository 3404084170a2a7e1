"""python -m tests.fuzz, or python fuzz from the folder above."""

import argparse
import resource
import sys
import traceback

import numpy

from . import calls, files
from .runner import ENDS, outcome, run_part

PARTS = {"calls": calls.case, "files": files.case}  # name: a generator of random numbers → a Case
LIMIT = 12 << 30  # bytes of address space: what asks for more is refused before it hurts the machine


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="this part alone")
    parser.add_argument("--seconds", type=float, default=180, help="all parts together")
    parser.add_argument("--at-least", type=int, default=10_000, help="cases of each part, however long they take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run this case alone, with its traceback")
    options = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, resource.getrlimit(resource.RLIMIT_AS)[1]))
    parts = {options.part: PARTS[options.part]} if options.part else PARTS
    if options.case is not None:
        return replay(parts, options)
    tallies = {
        name: run_part(part, options.seed, options.seconds / len(parts), options.at_least)
        for name, part in parts.items()
    }
    print("| part | tried | " + " | ".join(ENDS) + " |\n|" + "---|" * (len(ENDS) + 2))
    for name, tally in tallies.items():
        print(f"| {name} | {tally.tried} | " + " | ".join(str(tally.counts[end]) for end in ENDS) + " |")
    for tally in tallies.values():
        print(*tally.defects, sep="\n")
    return 0 if all(tally.clean for tally in tallies.values()) else 1


def replay(parts, options):
    for part in parts.values():
        case = part(numpy.random.default_rng([options.seed, options.case]))
        print(case.name, outcome(case), sep="\n")
        case = part(numpy.random.default_rng([options.seed, options.case]))
        try:
            print(case.run())
        except Exception:
            traceback.print_exc()
    return 0


if __name__ == "__main__":
    sys.exit(main())
