"""What has to work in a browser tab. Run by test_browser_tab.py in an interpreter without threads and processes, and by
hand in one that has none: python tests/browser_tab.py FOLDER, where the folder holds the solved exercises."""

import contextlib
import io
import os
import sys
import warnings
from pathlib import Path


def take_away():
    """Leave this process what Python has in a browser tab: neither threads nor processes."""
    import multiprocessing.process
    import subprocess
    import threading

    def no_thread(self):
        raise RuntimeError("can't start new thread")

    def no_process(*_, **__):
        raise OSError(95, "this system does not support processes")

    threading.Thread.start = no_thread
    subprocess.Popen.__init__ = subprocess.Popen.__del__ = no_process
    subprocess.Popen.__del__ = lambda self: None
    multiprocessing.process.BaseProcess.start = no_process
    for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "sched_getaffinity", "register_at_fork"):
        if hasattr(os, name):
            delattr(os, name)
    os.cpu_count = lambda: 1
    for name in ("resource", "fcntl", "mmap", "pwd", "grp"):
        sys.modules[name] = None  # importing it raises ImportError


def check_gradients():
    import numpy as np

    import minixfmr
    from minixfmr import layers

    norm = layers.LayerNorm(4, dtype="float64")
    report = minixfmr.gradcheck(norm, np.random.default_rng(0).standard_normal((2, 3, 4)))
    assert report.ok, report
    wrong = minixfmr.gradcheck_function(lambda x: (x * x, x), lambda dy, x: dy * x, np.arange(1.0, 4.0))
    assert not wrong.ok and "2" in str(wrong)


def check_file(folder):
    """The checker's command, on a file."""
    from minixfmr.gradcheck.__main__ import main

    said, complained = captured(main, [os.path.join(folder, "softmax.py")])
    assert said[0] == 0 and "== softmax" in said[1], said
    assert "no process can be started" in complained and "no limit of time" in complained


def mark_exercises(folder):
    """A folder is marked in this process, twice, with a file mended in between, and nothing of it stays behind."""
    from minixfmr.exercises.__main__ import main

    before = list(sys.path), os.getcwd(), dict(os.environ), sys.modules.get("linear")
    path = os.path.join(folder, "linear.py")
    with open(path, encoding="utf-8") as file:
        right = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write("print('loud')\nraise SystemExit\n")
    command = [folder, "--only", "softmax", "linear", "layer_norm", "dropout", "greedy_decoding", "feed_forward"]
    (status, marked), complained = captured(main, command)
    assert status == 1 and "loud" not in marked and "SystemExit" in marked, marked
    assert "there are no processes here" in complained and "not limited" in complained
    with open(path, "w", encoding="utf-8") as file:
        file.write(right)
    (status, marked), _ = captured(main, command)
    assert status == 0 and marked.count(" right ") == 6, marked
    assert before == (list(sys.path), os.getcwd(), dict(os.environ), sys.modules.get("linear"))
    (status, _), complained = captured(main, [folder, "--only", "softmax", "--as", "nobody"])
    assert status == 2 and "nobody" in complained


def rehearse(folder):
    """--train, with the functions of the folder."""
    from minixfmr.exercises import train

    train.STEPS = 6
    (status, told), complained = captured(train.train, Path(folder), 500)
    assert status == 0 and "6 steps, each loss equal to the package's" in told, told
    assert "there are no processes here" in complained


def train_and_generate():
    import numpy as np

    import minixfmr
    from minixfmr import AdamW, Config, EncoderDecoder, ParallelGradients, Trainer, TranslationData

    config = Config(vocab_size=16, d_model=16, num_heads=2, d_ff=32, num_encoder_layers=1, num_decoder_layers=1)
    rng = np.random.default_rng(0)
    sources = [rng.integers(3, 16, 4).tolist() for _ in range(48)]
    data = TranslationData(sources, [source[::-1] for source in sources], config, max_tokens=64, seed=0)
    model = EncoderDecoder(config)
    trainer = Trainer(model, AdamW(model.parameters()), lambda step: 0.01, data)
    losses = [result.loss for result in trainer.run(epochs=4)]
    assert trainer.gradients.workers == 1 and losses[-1] < losses[0]
    ids = minixfmr.generate(model, np.array([[3, 4, 5, 2]]), max_new_tokens=4, num_beams=2)
    assert ids.shape[0] == 1

    ParallelGradients.SMALL = 0
    several = ParallelGradients(model, minixfmr.CrossEntropy(), workers=3)
    batch = data.batch(data.order(epoch=0)[0])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        loss, _ = several([batch])
    assert len(losses) and any("in turn" in str(warning.message) for warning in said)
    alone, _ = ParallelGradients(model, minixfmr.CrossEntropy(), workers=1)([batch])
    assert abs(loss - alone) < 1e-5 * alone


def captured(function, *arguments):
    """((what it returns, what it prints), what it prints to standard error)"""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        value = function(*arguments)
    return (value, out.getvalue()), err.getvalue()


def main(folder):
    for check in (check_gradients, train_and_generate):
        check()
        print(check.__name__, flush=True)
    for check in (check_file, mark_exercises, rehearse):
        check(folder)
        print(check.__name__, flush=True)


if __name__ == "__main__":
    if sys.argv[2:] == ["take-away"]:
        take_away()
    main(sys.argv[1])
