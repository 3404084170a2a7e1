"""Hostile files: each costs its own exercise alone. Clumsy files that are right keep their marks."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import clumsy_files
import exercise_attacks as attacks
import pytest
from conftest import heed

import minixfmr
from minixfmr.exercises import Limits, Marker
from minixfmr.exercises.catalogue import exercises

pytestmark = pytest.mark.long

SOLVED = Path(__file__).parent / "homework"
EXERCISES = exercises()
FORWARD_ALONE = {**attacks.NO_DY, **attacks.REPLAY, **attacks.DIFFERENCES}
NOTHING = {**attacks.FORGED, **attacks.ANSWERS, **attacks.PROCESSES, **attacks.TEXTS, **attacks.SOURCES}
SLOW = {"in backward", "sleeps"}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def marker():
    with Marker(Limits(0.4, 300), explain=False) as marker:
        yield marker


@pytest.fixture
def folder(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(SOLVED / "softmax.py", other)
    own = tmp_path / "student"
    own.mkdir()
    shutil.copy(SOLVED / "gelu.py", own)
    return own


def filled(text, folder):
    package, other = str(Path(minixfmr.__file__).parent), str(folder.parent / "other" / "softmax.py")
    return text.replace("{package!r}", repr(package)).replace("{other!r}", repr(other))


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def attack(marker, folder, text):
    """The result of softmax.py with this text; all else must stay as it is."""
    path = folder / "softmax.py"
    path.write_bytes(text if isinstance(text, bytes) else filled(text, folder).encode("utf-8", "surrogatepass"))
    before = contents(folder.parent)
    result = marker.mark(EXERCISES["softmax"], folder)
    assert contents(folder.parent) == before
    assert len(result.message) < 700
    assert result.message.isprintable()
    result.message.encode()
    return result


@pytest.mark.parametrize("name", FORWARD_ALONE)
def test_a_backward_that_is_none_earns_nothing(marker, folder, name):
    result = attack(marker, folder, FORWARD_ALONE[name])
    assert [part.points for part in result.parts] == [2, 0], result.message
    assert result.state == "wrong"


@pytest.mark.parametrize("name", NOTHING)
def test_an_attack_earns_nothing_and_harms_nobody(marker, folder, name):
    result = attack(marker, folder, NOTHING[name])
    most = 2 if "def softmax_forward" in str(NOTHING[name]) and "np.exp" in str(NOTHING[name]) else 0
    if name == "reads another student's file" and any("files" in sentence for sentence in marker.missing):
        pytest.skip("this system cannot keep a process from reading")
    assert result.points <= most, result.message
    assert result.state != "right"
    assert marker.mark(EXERCISES["gelu"], folder).state == "right"


def test_there_are_a_hundred_attacks():
    assert len(FORWARD_ALONE) + len(NOTHING) >= 100


KINDS = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to another's file": lambda path: path.symlink_to(path.parent.parent / "other" / "softmax.py"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_refused_and_not_opened(marker, folder, kind):
    KINDS[kind](folder / "softmax.py")
    result = marker.mark(EXERCISES["softmax"], folder)
    assert (result.state, result.points) == ("wrong", 0)
    assert result.message.startswith("softmax.py ")


def test_files_of_a_student_do_not_shadow_what_the_marker_needs(marker, folder):
    shutil.copy(SOLVED / "softmax.py", folder)
    for name in ("numpy", "socket", "json", "channel", "copy", "minixfmr", "marker", "sitecustomize", "traceback"):
        (folder / f"{name}.py").write_text("raise SystemExit('shadowed')\n")
    assert marker.mark(EXERCISES["softmax"], folder).state == "right"


@pytest.mark.parametrize("name", clumsy_files.FILES)
def test_a_clumsy_file_that_is_right_keeps_its_marks(marker, folder, name):
    exercise, text = clumsy_files.FILES[name]
    (folder / f"{exercise}.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    result = marker.mark(EXERCISES[exercise], folder)
    assert result.state == "right", result.message


def test_without_fork_a_process_of_its_own_does_the_same(folder):
    shutil.copy(SOLVED / "softmax.py", folder)
    with Marker(Limits(1, 300), explain=False, fork=False) as marker:
        assert marker.mark(EXERCISES["softmax"], folder).state == "right"
        assert attack(marker, folder, attacks.PROCESSES["loops at import"]).message.startswith("was still running")
        assert attack(marker, folder, attacks.PROCESSES["ends itself"]).message.startswith("the process ended itself")
        assert marker.mark(EXERCISES["gelu"], folder).state == "right"


@pytest.mark.parametrize("fork", [True, False])
@pytest.mark.parametrize("error", [BlockingIOError(errno.EAGAIN, "busy"), OSError(errno.ENOMEM, "no memory")])
def test_a_system_that_is_full_never_runs_a_file_in_the_markers_process(monkeypatch, folder, tmp_path, error, fork):
    def full(*_, **__):
        raise error

    (folder / "softmax.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.setattr(subprocess, "Popen", full)
    with Marker(Limits(1, 300), explain=False, fork=fork) as marker:
        result = marker.mark(EXERCISES["softmax"], folder)
    assert result.message.startswith("could not be run: no process can be started") and error.strerror in result.message
    assert not (tmp_path / "ran").exists()


def test_what_a_system_does_not_limit_is_said(monkeypatch, folder, capsys):
    from minixfmr.exercises.__main__ import main
    from minixfmr.exercises.marking import Workshop

    original = Workshop.child

    def child(self, *arguments):
        self.missing["memory is not limited"] = None
        return original(self, *arguments)

    monkeypatch.setattr(Workshop, "child", child)
    assert main([str(folder), "--only", "gelu"]) == 0
    assert capsys.readouterr().err == "not limited on this system: memory is not limited\n"


def descendants(pid):
    """All processes below one, by /proc."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(path.parent.name)] = int(fields[1])
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


@on_linux
@pytest.mark.parametrize("ended", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGINT])
def test_a_marker_that_is_ended_takes_its_children_with_it(folder, ended):
    (folder / "softmax.py").write_text("while True: pass\n")
    command = [sys.executable, "-m", "minixfmr.exercises", str(folder), "--only", "softmax", "--timeout", "60"]
    folder_of_package = Path(minixfmr.__file__).parents[1]
    process = subprocess.Popen(command, cwd=folder_of_package, stderr=subprocess.DEVNULL, preexec_fn=heed)
    end = time.monotonic() + 30
    while len(children := descendants(process.pid)) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(children) == 2
    process.send_signal(ended)
    assert process.wait(30) != 0
    end = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{child}").exists() for child in children)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="takes root")
def test_students_code_can_run_as_another_user():
    """Who can read what all can read, and nothing of root's."""
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        shutil.copy(SOLVED / "gelu.py", folder)
        secret = folder / "secret"
        secret.write_text("1")
        secret.chmod(0o600)
        (folder / "softmax.py").write_text(f"import os\nassert os.getuid() != 0\nopen({str(secret)!r})\n")
        with Marker(Limits(2, 500, user="nobody"), explain=False) as marker:
            assert "PermissionError" in marker.mark(EXERCISES["softmax"], folder).message
            assert marker.mark(EXERCISES["gelu"], folder).state == "right"
    finally:
        shutil.rmtree(folder)


def test_a_user_who_is_not_there_is_named(folder, capsys):
    from minixfmr.exercises.__main__ import main

    assert main([str(folder), "--only", "gelu", "--as", "no-such-user"]) == 2
    assert capsys.readouterr().err.startswith("there is no user 'no-such-user' on this system: make one")
