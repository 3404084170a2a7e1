"""The command minixfmr: check a gradient, mark exercises, write them.

    minixfmr check homework.py            is python -m minixfmr.gradcheck homework.py
    minixfmr exercises --new homework     is python -m minixfmr.exercises --new homework
    minixfmr grade homework               is python -m minixfmr.exercises homework

What follows the first word, and the exit status, are those of these modules.
"""

import argparse
import importlib
import sys

from . import __version__

COMMANDS = {  # command: (the module that has it, what it does)
    "check": ("gradcheck", "compare the gradients of a file with finite differences, and say what is wrong"),
    "grade": ("exercises", "mark a folder of exercises, or with --all a class"),
    "exercises": ("exercises", "with --new write exercises to fill in; with --train train a model on yours"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status: 2, after the help, where there is no command."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = _parser()
    if not given:
        parser.print_help(sys.stderr)
        return 2
    command = parser.parse_args(given[:1]).command
    module = importlib.import_module(f".{COMMANDS[command][0]}.__main__", __package__)
    return module.main(given[1:], prog=f"minixfmr {command}")


def _parser():
    listed = "\n".join(f"  {name:10} {told}" for name, (_, told) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="minixfmr",
        usage="minixfmr COMMAND ...",
        description="Every Transformer forward and backward pass, written by hand in NumPy.",
        epilog=f"commands:\n{listed}\n\nminixfmr COMMAND --help tells what each takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"minixfmr {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    return parser


if __name__ == "__main__":
    sys.exit(main())
