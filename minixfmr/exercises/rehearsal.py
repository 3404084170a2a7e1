"""The student's functions one by one beside the package's, then all of them in a training. Runs in the child."""

import time
from collections.abc import Callable
from pathlib import Path
from traceback import extract_tb

from .numbers import english, german
from .places import PLACES
from .reward import Run, modules

ALONE = 5  # steps that each function takes by itself
CLOSE = 1e-7  # relative, of a loss
EVERY = 20  # steps between two lines
SHADES = " ░▒▓█"


def rehearse(names: list[str], steps: int, say: Callable) -> bool:
    """Tell how it goes by say(text). → whether all losses equal the package's"""
    package = list(Run({}).losses(steps))
    say(f"each function alone in the place of the package's, {ALONE} steps:")
    right = [name for name in names if name in PLACES and _alone(name, package, steps, say)]
    right += [name for name in names if name == "greedy_decoding" and _writes(say)]
    rest = [name for name in (*PLACES, "greedy_decoding") if name not in right]
    if not right:
        say("none can take its place yet")
        return False
    some = "one function" if len(right) == 1 else f"{len(right)} functions"
    together = f"{some} of yours" if rest else "all of your functions"
    stand_in = f"; the package's stand in for {', '.join(rest)}" if rest else ""
    say(f"\n{together} in a Transformer that learns{stand_in}:")
    if "gelu" in right:
        say("(gelu rests: BERT and GPT-2 have it, the paper's Transformer has ReLU)")
    run = Run(modules(right))
    if not _train(run, package, steps, say):
        return False
    _show(run, say)
    return not rest


def _alone(name, package, steps, say):
    """Does the function give the package's losses?"""
    activation = "gelu_tanh" if name == "gelu" else "relu"
    package = package if name != "gelu" else Run({}, activation).losses(steps, until=ALONE)
    try:
        run = Run(modules([name]), activation)
        for step, (loss, right) in enumerate(zip(run.losses(steps, until=ALONE), package, strict=False), 1):
            if not _equal(loss, right):
                say(f"  {name:22} losses part at step {step}: {loss:.9g}, the package's is {right:.9g}")
                return False
    except Exception as error:
        say(f"  {name:22} {_what_was_raised(error)}")
        return False
    say(f"  {name:22} equal")
    return True


def _writes(say):
    """Does greedy_decoding write what the package's loop writes, with an untrained model?"""
    try:
        own, package = Run(modules(["greedy_decoding"])), Run({})
        equal = all(own.translate(n) == package.translate(n) for n in own.unseen[:3])
    except Exception as error:
        say(f"  {'greedy_decoding':22} {_what_was_raised(error)}")
        return False
    say(f"  {'greedy_decoding':22} {'equal' if equal else 'writes something else than the package'}")
    return equal


def _what_was_raised(error):
    frames = [f for f in extract_tb(error.__traceback__) if Path(f.filename).stem in PLACES]
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    if isinstance(error, NotImplementedError):
        return f"not started{where}"
    return f"raises {type(error).__name__}: {error}{where}"


def _train(run, package, steps, say):
    begun, told = time.monotonic(), False
    for step, loss in enumerate(run.losses(steps), 1):
        if not _equal(loss, package[step - 1]):
            say(f"losses part at step {step}: {loss:.9g}, the package's is {package[step - 1]:.9g}")
            return False
        if step % EVERY == 0:
            say(f"  step {step:4}  loss {loss:.4f}  {time.monotonic() - begun:5.1f} s")
            told = told or _first(run, step, say)
    say(f"{steps} steps, each loss equal to the package's")
    return True


def _equal(loss, right):
    return abs(loss - right) <= CLOSE * abs(right)


def _first(run, step, say):
    """The first of a few numbers that was not seen in training and is translated rightly."""
    for number in run.unseen[:5]:
        words = run.translate(number)
        if words == " ".join(german(number)):
            say(f"  the first sentence that your code translated, after {step} steps:")
            say(f"      {' '.join(english(number))}  →  {words}")
            return True
    return False


def _show(run, say):
    right = sum(run.translate(n) == " ".join(german(n)) for n in run.unseen)
    say(f"of {len(run.unseen)} numbers that were not in training it translates {right} rightly")
    number = max(run.unseen, key=lambda n: (len(german(n)), n))
    source, target, looks = english(number), german(number), run.looks(number)
    say(f"\nwhere {' '.join(target)} looks in {' '.join(source)} (the mean over the heads of the cross-attention):")
    width = max(map(len, target))
    say(" " * (width + 2) + "  ".join(source))
    for word, row in zip(target, looks, strict=True):
        cells = (
            SHADES[min(int(share * len(SHADES)), len(SHADES) - 1)] * len(s)
            for share, s in zip(row, source, strict=True)
        )
        say(f"{word:>{width}}  " + "  ".join(cells))
