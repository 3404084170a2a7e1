"""The loop of a run: its checkpoints, the best model so far, and what to do when it cannot go on."""

import math
import time

from tqdm import tqdm

import minixfmr

from . import RunError, UsageError
from .console import command, note, resume_command, shortened
from .machines import DONE
from .options import DEFAULTS, as_written
from .plan import total_steps
from .settings import usual_rate
from .translator import Translator

NEW_STATE = {"steps": [], "valid": [], "seconds": 0.0, "tokens": 0, "best": None, "waited": 0}


class BothLosses:
    """A criterion for validation: the plain cross-entropy, and beside it, from the same pass, that with the smoothing
    of training, by which epochs are compared: it forgives a model that is sure of itself less readily."""

    def __init__(self, smoothing):
        self._plain, self._smooth = minixfmr.CrossEntropy(), minixfmr.CrossEntropy(label_smoothing=smoothing)
        self.smooth, self.total = 0.0, 0

    def count(self, labels):
        return self._plain.count(labels)

    def forward(self, logits, labels):
        count = self.count(labels)
        self.smooth += count * float(self._smooth.forward(logits, labels)[0])
        self.total += count
        return self._plain.forward(logits, labels)


class Run:
    """The loop of a run, and what it keeps: checkpoints, the best model so far, the curves.

    state: JSON values that the checkpoint holds beside the trainer's
    """

    def __init__(self, folder, settings, trainer, tokenizer, state=None):
        self.folder, self.settings, self.trainer = folder, settings, trainer
        self.translator = Translator(trainer.model, tokenizer)
        self.state = NEW_STATE | {"steps": [], "valid": []} | (state or {})
        self._saved = trainer.progress.step
        self._earlier, self._began = self.state["seconds"], time.perf_counter()

    def train(self, corpus, valid, stop):
        """Train to the end; return False if a signal asked to stop before. Raises RunError, with what can be done."""
        try:
            with stop.patience():
                return self._train(corpus, valid, stop)
        except minixfmr.TrainingDiverged as error:
            raise RunError(f"{error}. {self._after_divergence()}") from error
        except MemoryError as error:
            anew = self._anew({"batch_tokens": max(1, self.settings["batch_tokens"] // 2)})
            raise RunError(f"out of memory ({error}); saved to step {self._saved}. Smaller batches: {anew}") from error
        except Exception as error:  # a killed worker, a full disk: whatever it was, nothing that is saved is lost
            kind = "" if isinstance(error, (RuntimeError, minixfmr.CheckpointError)) else f"{type(error).__name__}: "
            raise RunError(
                f"training ended at step {self.trainer.progress.step}: {kind}{error}; it is saved to step "
                f"{self._saved}. To go on: {resume_command(self.folder.name)}"
            ) from error

    def _train(self, corpus, valid, stop):
        total = total_steps(self.trainer.data, self.settings)
        self._began = time.perf_counter()
        bar = tqdm(total=total, initial=self.trainer.progress.step, unit="step", dynamic_ncols=True)
        with bar:
            if self._ending(stop):
                return self._over()
            for result in self.trainer.run(self.settings["epochs"]):
                self._record(result, bar)
                ended = self.trainer.progress.position == 0
                if ended:
                    bar.write(self._validate(valid, corpus.valid))
                ending = self._ending(stop)
                if ended or result.step % self.settings["save_every"] == 0 or ending:
                    self.save()
                if ending:
                    return self._over()
        return True

    def _ending(self, stop):
        """Whether this was the last step: the run is over, or a signal reached any of its processes."""
        number = self.trainer.gradients.agreed(DONE if self._over() else stop.number or 0)
        if 0 < number < DONE:
            stop.number = number
        return bool(number)

    def _over(self):
        """Whether the last epoch is done, or patience at its end."""
        patience = self.settings["patience"]
        return self.trainer.progress.epoch >= self.settings["epochs"] or bool(
            patience and self.state["waited"] >= patience
        )

    def _record(self, result, bar):
        self.state["steps"].append((result.step, round(result.loss, 4)))
        self.state["tokens"] += result.tokens
        seconds = self._earlier + time.perf_counter() - self._began
        bar.update()
        bar.set_postfix(loss=f"{result.loss:.3f}", tok_s=f"{self.state['tokens'] / seconds:,.0f}", refresh=False)

    def _validate(self, valid, pairs):
        """Measure the validation loss and keep the model if it is the best so far; return what to say of the epoch."""
        step, epoch = self.trainer.progress.step, self.trainer.progress.epoch
        losses = BothLosses(self.settings["label_smoothing"])
        loss = minixfmr.evaluate(self.trainer.model, valid, losses)
        smooth = losses.smooth / max(losses.total, 1)
        self.state["valid"].append((step, round(loss, 4)))
        self.state["waited"] += 1
        if not self.state["best"] or smooth <= self.state["best"]["loss"]:
            self.state["best"], self.state["waited"] = {"step": step, "epoch": epoch, "loss": smooth}, 0
            if self.settings["keep"] == "best":
                minixfmr.checkpoint.save_weights(self.trainer.model, self.folder.best(step))
        source, target = pairs[epoch % len(pairs)]
        (output,) = self.translator.translate([source])
        verdict = "" if output == target else f"   (reference: {shortened(target)})"
        sample = f"{shortened(source)} → {shortened(output)}{verdict}"
        return f"epoch {epoch}: validation loss {loss:.3f}   {sample}"

    def save(self):
        self.state["seconds"] = self._earlier + time.perf_counter() - self._began
        minixfmr.save_training(self.trainer, self.folder.checkpoint, self.state)
        self._saved = self.trainer.progress.step
        best = self.state["best"]
        self.folder.forget_best(but=self.folder.best(best["step"]) if best else None)

    def choose(self):
        """Put the weights of the epoch that is kept into the model; return that epoch."""
        best = self.state["best"]
        if self.settings["keep"] == "last" or not best:
            return self.trainer.progress.epoch
        try:
            minixfmr.checkpoint.load_weights(self.trainer.model, self.folder.best(best["step"]))
            return best["epoch"]
        except minixfmr.CheckpointError as error:  # such as a run that kept the last until it was resumed
            note(f"the best epoch, {best['epoch']}, cannot be had ({error}): the last is kept in its place")
            return self.trainer.progress.epoch

    def _after_divergence(self):
        """What to do now. The checkpoint is of use unless its weights had gone astray already."""
        losses = dict(map(tuple, self.state["steps"]))
        after = losses.get(self._saved + 1, math.inf)
        lower = f"{min(self.settings['lr'] / 10, usual_rate(self.settings)):g}"
        if self.folder.checkpoint.exists() and after < losses.get(1, 0):
            return f"To go on from step {self._saved}: {resume_command(self.folder.name, lr=lower)}"
        return f"To start anew: {self._anew({'lr': lower})}"

    def _anew(self, changes):
        """The command that starts this run again, with these changes."""
        given = {name: value for name, value in (self.settings | changes).items() if value != DEFAULTS[name]}
        return command(**{name: as_written(name, value) for name, value in given.items()}, overwrite=True)


def begin_with(model, folder):
    """Give the model the weights of the one in the folder. Raises UsageError if that computes otherwise."""
    trained = Translator.load(folder).model
    own = model.config.to_dict()
    for name, value in trained.config.to_dict().items():
        if name != "dropout" and own[name] != value:
            raise UsageError(f"the model in {folder} has {name} = {value!r}, and this script trains {own[name]!r}")
    model.load_state_dict(trained.state_dict())


def resume(run, accept):
    """Put a run where its checkpoint left it; settings of the trainer in `accept` may differ."""
    if not run.folder.checkpoint.exists():
        if run.settings["finetune"]:
            raise UsageError(
                f"{run.folder.checkpoint}, from which the run goes on, is gone: start anew with --overwrite"
            )
        note(f"{run.folder} has no checkpoint yet: it starts from the beginning")
        return run
    state = minixfmr.load_training(run.trainer, run.folder.checkpoint, accept)
    if run.trainer.progress.epoch > run.settings["epochs"]:
        note(f"{run.trainer.progress.epoch} epochs are done already, more than --epochs {run.settings['epochs']}")
    return Run(run.folder, run.settings, run.trainer, run.translator.tokenizer, state)
