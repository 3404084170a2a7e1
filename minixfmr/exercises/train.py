"""The reward, `--train`: the student's code trains in a process of its own, and this tells how it goes."""

from pathlib import Path

from .catalogue import ORDER
from .marking import plain_line
from .process import ChildEnded, Limits, Workshop
from .session import plain

STEPS = 300
SECONDS = 600.0  # slow loops take their time


def train(folder: Path, memory: float) -> int:
    """Let the functions in the folder train a toy translation; print how it goes. → exit status"""
    names = [name for name in ORDER if (folder / f"{name}.py").is_file()]
    limits = Limits(SECONDS, memory)
    if not names:
        print("no exercise was found here: python -m minixfmr.exercises --new FOLDER writes them")
        return 2
    print("numbers below 1,000, English to German: 899 to learn from, 100 to be tried on")
    with Workshop(limits, ("minixfmr.exercises.rehearsal",)) as workshop, workshop.child(names[0], folder) as child:
        workshop.tell_missing()
        try:
            child.ask({"do": "load"})
            reply = child.ask({"do": "train", "names": names, "steps": STEPS}, _print)
        except ChildEnded as ended:
            late = ended.status is None
            print(f"it was still running after {SECONDS:g} seconds" if late else "the process that trained has ended")
            return 1
    raised = reply.get("raised") if isinstance(reply, dict) else None
    if isinstance(raised, dict):
        print(f"raises {plain(raised.get('type'), 60)}: {plain(raised.get('text'))}")
    return int(not (isinstance(reply, dict) and reply.get("equal") is True))


def _print(asked):
    """A line of the child's."""
    for text in asked if isinstance(asked, tuple) else ():
        for line in str(text)[:2000].split("\n")[:50]:
            print(plain_line(line), flush=True)
