"""Check a student's file:

    python -m minixfmr.gradcheck homework.py
    python -m minixfmr.gradcheck homework.py --only layer_norm --seed 1
    python -m minixfmr.gradcheck homework.py --json

Checked are the functions name_forward and name_backward, and the classes with the methods forward and backward. What
they are checked with comes from a function of the file,

    def gradcheck_inputs(name, rng):
        if name == "layer_norm":
            return rng.standard_normal((2, 5, 6)), rng.standard_normal(6), rng.standard_normal(6)
        if name == "Linear":
            return Linear(6, 4), rng.standard_normal((2, 5, 6))     # of a class: a layer, then forward's arguments

and without it from defaults and from the names of the arguments.
Exit status: 0 if all gradients are right, 1 if one is wrong, 2 if there is nothing to check.
"""

import argparse
import json
import sys
from typing import Any

from .check import gradcheck, gradcheck_function
from .homework import inputs_for, load_file, pairs_in
from .report import GradcheckError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _options(arguments)
    results: dict[str, Any] = {}
    try:
        module = load_file(options.file)
        found = dict(pairs_in(module))
        chosen = {name: found[name] for name in options.only or found if name in found}
        if not chosen:
            asked = f" named {', '.join(options.only)}" if options.only else ""
            has = f"; it has {', '.join(found)}" if found else ""
            raise GradcheckError(
                f"{options.file} has nothing to check{asked}{has}: write name_forward and name_backward, or a class "
                "with forward and backward"
            )
        for name, thing in chosen.items():
            results[name] = _checked(module, name, thing, options)
            if not options.json:
                _print(name, results[name])
    except GradcheckError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({n: r if isinstance(r, dict) else r.to_dict() for n, r in results.items()}, indent=2))
    return int(any(isinstance(r, dict) or not r.ok for r in results.values()))


def _checked(module, name, thing, options):
    """A Report, or {"ok": False, "error": sentence} where the code cannot be run."""
    settings = {"tolerance": options.tolerance, "seed": options.seed}
    try:
        subject, inputs = inputs_for(module, name, thing, options.seed)
        if isinstance(subject, tuple):
            return gradcheck_function(*subject, *inputs, **settings)
        return gradcheck(subject, *inputs, **settings)
    except GradcheckError as error:
        return {"ok": False, "error": str(error)}


def _print(name, result):
    verdict = "cannot be checked" if isinstance(result, dict) else "right" if result.ok else "WRONG"
    print(f"== {name}: {verdict}")
    print(result["error"] if isinstance(result, dict) else result, end="\n\n")


def _options(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m minixfmr.gradcheck",
        description="Compare every backward of a file with finite differences, and say what is wrong.",
        epilog="Exit status: 0 if all gradients are right, 1 if one is wrong, 2 if there is nothing to check.",
    )
    parser.add_argument("file", help="a Python file")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="check these alone")
    parser.add_argument("--tolerance", type=float, default=1e-7, help="of the relative error (1e-7)")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs and of the upstream gradient (0)")
    parser.add_argument("--json", action="store_true", help="print the reports as JSON, and nothing else")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
