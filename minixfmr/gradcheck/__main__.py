"""Check a student's file:

    python -m minixfmr.gradcheck homework.py
    python -m minixfmr.gradcheck homework.py --only layer_norm --seed 1
    python -m minixfmr.gradcheck homework.py --profile cs231n
    python -m minixfmr.gradcheck notebook.ipynb --json

Checked are the functions name_forward and name_backward (or name and name_backward), the classes with the methods
forward and backward, and functions that return a loss and its gradient. What they are checked with comes from a
function of the file,

    def gradcheck_inputs(name, rng):
        if name == "layer_norm":
            return rng.standard_normal((2, 5, 6)), rng.standard_normal(6), rng.standard_normal(6)
        if name == "Linear":
            return Linear(6, 4), rng.standard_normal((2, 5, 6))     # of a class: a layer, then forward's arguments

and without it from defaults and from the names of the arguments. The conventions of a course stand in a profile: a
TOML file, [tool.minixfmr.gradcheck] in the nearest pyproject.toml, or gradcheck_profile = {...} in the file.

Exit status: 0 all that moves an output was found, compared and agrees; 1 a gradient is wrong; 2 usage, or a file that
cannot be run; 3 nothing is wrong, but something was not checked, and is named.
"""

import argparse
import json
import sys
from pathlib import Path

from .process import results_of
from .profile import PRESETS, profile_beside, profile_of
from .report import NOT_CHECKED, WRONG, GradcheckError


def main(arguments: list[str] | None = None, prog: str = "python -m minixfmr.gradcheck") -> int:
    """Run the command, called prog in its help; return its exit status."""
    options = _options(arguments, prog)
    results = {}
    try:
        options.course = profile_of(options.profile) if options.profile else profile_beside(Path(options.file))
        for name, result in results_of(options):
            results[name] = result
            if not options.json:
                print(f"== {name}: {result['verdict']}\n{result.pop('text')}\n", flush=True)
    except GradcheckError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        for result in results.values():
            result.pop("text")
        print(json.dumps(results, indent=2))
    verdicts = {result["verdict"] for result in results.values()}
    return 1 if WRONG in verdicts else 3 if NOT_CHECKED in verdicts or not verdicts else 0


def _options(arguments, prog):
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Compare every backward of a file with finite differences, and say what is wrong.",
        epilog="Exit status: 0 all gradients are right, 1 one is wrong, 2 the file cannot be run, 3 something was not "
        "checked.",
    )
    parser.add_argument("file", help="a Python file, or a notebook")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="check these alone")
    parser.add_argument("--profile", help=f"a course's TOML file, or one of {', '.join(PRESETS)}")
    parser.add_argument("--tolerance", type=float, default=None, help="of the relative error (1e-7)")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs and of the upstream gradient (0)")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON, and nothing else")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
