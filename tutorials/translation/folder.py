"""The folder of a run: locked while it trains, and at every moment either a run or none.

run.json is written last when a run starts, and removed before anything that a new one replaces: without it there is
no run, with it all that resuming needs is there.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from minixfmr.checkpoint import read_file, read_json, write_file

from . import DataError, UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

RESULTS = ("metrics.json", "model.safetensors", "config.json")  # of an earlier run, the first to go
REST = ("run.json", "checkpoint.safetensors", "tokenizer.json", "curves.csv", "curves.jsonl")
REST += ("train_pairs.tsv", "valid_pairs.tsv", "test_pairs.tsv", "attention.png", "loss.png")


class RunFolder:
    def __init__(self, name):
        if name in (".", "..", "") or Path(name).name != name:
            raise UsageError(f"--name must be a plain folder name, got {name!r}: the run goes to runs/NAME")
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise UsageError(f"--name {name!r} is not UTF-8: choose another, or set a locale of UTF-8")
        self.name, self.path = name, Path("runs") / name
        self.checkpoint = self.path / "checkpoint.safetensors"

    def __truediv__(self, name):
        return self.path / name

    def __str__(self):
        return str(self.path)

    # --- what is there

    def begun(self):
        return (self.path / "run.json").exists()

    def finished(self):
        return (self.path / "metrics.json").exists() or (
            not self.begun() and (self.path / "model.safetensors").exists()
        )

    def description(self):
        """What run.json says: {"settings", "data", ...}. Raises UsageError."""
        file = self.path / "run.json"
        try:
            description = read_json(file)
            for name, kind in {"settings": dict, "data": str, "changes": list}.items():
                if not isinstance(description.get(name, kind()), kind) or name not in {*description, "changes"}:
                    raise ValueError(f"{name} is missing, or no {kind.__name__}")
            return description
        except ValueError as error:
            raise UsageError(
                f"cannot read {file} ({error}): the run cannot go on; put the file back, or start anew with --overwrite"
            ) from error

    # --- the lock

    @contextlib.contextmanager
    def locked(self):
        """Raise UsageError if another process trains here. A lock ends with its process, even if that is killed."""
        lock = self.path / "lock"
        file = None
        try:
            while file is None:
                self.path.mkdir(parents=True, exist_ok=True)
                file = self._lock(lock)
        except OSError as error:
            raise UsageError(f"cannot write in {self}: {error.strerror or error} ({error.filename or lock})") from error
        try:
            for left in self.path.glob("*.tmp"):  # by a process that was killed while it wrote
                left.unlink(missing_ok=True)
            yield
        finally:
            with contextlib.suppress(OSError):
                lock.unlink()
            file.close()
            for folder in (self.path, self.path.parent):  # made for nothing, if the data was refused
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def _lock(self, path):
        """The open file, or None where its name is gone meanwhile."""
        file = open(path, "a+")  # noqa: SIM115
        try:
            _lock_file(file)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                file.truncate(0)
                print(os.getpid(), file=file, flush=True)
                return file
        except FileNotFoundError:
            pass
        except (BlockingIOError, PermissionError):
            file.seek(0)
            owner = file.read().strip() or "of an unknown number"
            raise UsageError(
                f"{self} is in use: another process ({owner}) is running there; wait for it, or choose another --name"
            ) from None
        file.close()
        return None

    # --- what is written

    def start(self, description, tokenizer, kept=(), checkpoint=None):
        """Begin a run in place of any other. kept: (name, bytes) of further files. checkpoint: called to write one."""
        replaced = {name for name, _ in kept}  # the data may have been read from these, and be nowhere else
        others = (path.name for path in self.path.glob("best-*.safetensors"))
        for name in (name for name in (*RESULTS, *REST, *others) if name not in replaced):
            with contextlib.suppress(IsADirectoryError, PermissionError):  # nothing of ours
                (self.path / name).unlink(missing_ok=True)
        vocabulary = tokenizer.to_str(pretty=True).encode()
        write_file(self.path / "tokenizer.json", vocabulary)
        for name, data in kept:
            write_file(self.path / name, data)
        if checkpoint:
            checkpoint()
        self.write_json("run.json", description | {"vocabulary": fingerprint(vocabulary)})

    def write_json(self, name, value):
        write_file(self.path / name, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())

    def best(self, step):
        """The file of the model that was best at this step."""
        return self.path / f"best-{step}.safetensors"

    def forget_best(self, but=None):
        for path in self.path.glob("best-*.safetensors"):
            if path != but:
                path.unlink(missing_ok=True)

    def finish(self):
        """Remove what only an unfinished run needs."""
        self.checkpoint.unlink(missing_ok=True)
        self.forget_best()


def fingerprint(data):
    return hashlib.sha256(data).hexdigest()[:16]


def read_vocabulary(path):
    """The bytes of a run's tokenizer.json. Raises DataError if they are not those that the run was begun with, as far
    as its run.json tells, or CheckpointError."""
    path = Path(path)
    data = read_file(path)
    if read_json(path.with_name("run.json"), missing={}).get("vocabulary") not in (None, fingerprint(data)):
        raise DataError(f"cannot read the vocabulary {path}: it is damaged, or not the one that the run was begun with")
    return data


def _lock_file(file):
    if fcntl:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the process: its forked workers do not keep it
    else:
        file.seek(1)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
