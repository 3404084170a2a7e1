"""Printing that never stops a run, and commands that can be pasted."""

import contextlib
import os
import re
import shlex
import sys

import minixfmr

WIDEST = 200  # characters of a sentence in a sample


class Unbreakable:
    """A stream that writes what it can: a character that its encoding lacks as an escape, and nothing once the
    reader is gone or the disk full. broken: the error that ended it, or None."""

    def __init__(self, stream):
        self._stream, self.broken = stream, None

    def write(self, text):
        self._attempt(lambda: self._stream.write(self._writable(text)))
        return len(text)

    def flush(self):
        self._attempt(self._stream.flush)

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def _writable(self, text):
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        return text.encode(encoding, "backslashreplace").decode(encoding)

    def _attempt(self, action):
        if self.broken:
            return
        try:
            action()
        except (OSError, ValueError) as error:
            self.broken = error
            with contextlib.suppress(
                AttributeError, OSError, ValueError
            ):  # so that Python's own flush at the end has nothing to say
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


@contextlib.contextmanager
def unbreakable():
    """Standard output and error as such streams."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # for a stream that was closed from the beginning
        out, err = (Unbreakable(stream or nowhere) for stream in (sys.stdout, sys.stderr))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield


def error(message):
    """One sentence on standard error."""
    sentence = re.sub(r"\s*[\r\n]\s*", " ", str(message).strip())  # other spaces may belong to a name
    print(f"translate.py: error: {sentence}", file=sys.stderr)


def shortened(text):
    """The text, or its beginning: an untrained model writes on and on."""
    return text if len(text) <= WIDEST else text[:WIDEST] + " ..."


def counted(number, what, several=None):
    """ "1 pair", "1,200 pairs" """
    return f"{number:,} {what if number == 1 else several or f'{what}s'}"


def note(message):
    """A remark on standard error, apart from what was asked for on standard output."""
    print(f"note: {message}", file=sys.stderr)


def command(**options):
    """The command line of this script with these options, quoted so that it can be pasted. True: an option without a
    value."""
    backend = {} if minixfmr.backend_name() == "numpy" else {"backend": minixfmr.backend_name()}
    words = [sys.executable, sys.argv[0]]
    for name, value in (options | backend).items():
        text = str(value)
        dashed = text.startswith("-") and text != "-"  # without "=" it would be taken for another option
        words += [option(name)] if value is True else [f"{option(name)}={text}"] if dashed else [option(name), text]
    return shlex.join(words)


def option(name):
    """The option of this name, as it is written."""
    return "--" + name.replace("_", "-")


def resume_command(name, **changes):
    return command(name=name, resume=True, **changes)
