"""Training states: what decides the future beside them, and so whether a checkpoint goes on as it would have."""

import hashlib
from collections.abc import Collection
from typing import Any

from ..backend import to_numpy
from .batches import check_accept
from .fields import Fields
from .values import count, shown
from .weights import check_keys

EVERY_STEP, SPARSE, LAST = 20_000, 1.01, 10**7  # where a schedule is read: every step at first, then every 1 %


def fingerprint(trainer: Any) -> dict[str, Any]:
    """{name: JSON value}, equal for two trainers that go on alike from the same state."""
    o, own = trainer.optimizer, trainer.model
    config = getattr(own, "config", None)  # a model of the user's own may lack one
    return {
        "architecture": type(own).__name__,
        "model config": config.to_dict() if isinstance(config, Fields) else None,
        "betas, eps, weight_decay": [*o.betas, o.eps, o.weight_decay],
        "learning rates": _of_schedule(trainer.schedule),
        "criterion": _of_criterion(trainer.criterion),
        "data": trainer.data_fingerprint,
        "batches an epoch": len(trainer.data.order(0)),
        "accumulate": trainer.accumulate,
        "clip_norm": trainer.clip_norm,
        "workers": trainer.workers,
        "seed": trainer.seed,
    }


def check_training_state(trainer: Any, state: Any, accept: Collection[str] = (), finite: bool = True) -> list[str]:
    """The names of settings that this state lacks. Raises ValueError or TypeError unless the trainer goes on from it as
    the one that wrote it would have, but for what is accepted."""
    check_keys("a training state", state, ("model", "optimizer", "progress", "settings"))
    own = fingerprint(trainer)
    check_accept(accept, own)
    unknown = _compare(own, state["settings"], accept)
    check_keys("the progress of a training state", state["progress"], ("step", "epoch", "position"))
    step, epoch, position = (state["progress"][name] for name in ("step", "epoch", "position"))
    count("step", step, 0)
    order = trainer.data.order(count("epoch", epoch, 0))
    count("position", position, 0, max(len(order) - 1, 0))
    trainer.optimizer.check_state(state["optimizer"], finite)
    trainer.model.check_state_dict(state["model"], finite)
    return unknown


def _compare(own, theirs, accept):
    """The names of own settings that the others lack. Raises ValueError for those that differ and are not accepted."""
    if not isinstance(theirs, dict):
        raise TypeError(f"the settings of a training state must be a dictionary, got {shown(theirs)}")
    different = [
        f"{name} is {value!r} but was {theirs[name]!r}"
        for name, value in own.items()
        if name in theirs and name not in accept and value != theirs[name]
    ]
    if different:
        raise ValueError("this checkpoint was trained with other settings: " + "; ".join(different))
    return [name for name in own if name not in theirs]


def _of_schedule(schedule):
    """A hash of the learning rates, and a few of them to be read."""
    steps, step = list(range(1, EVERY_STEP)), float(EVERY_STEP)
    while step < LAST:
        steps.append(int(step))
        step *= SPARSE
    rates = [float(schedule(step)) for step in steps]
    return [_hash(rates), *(rates[step - 1] for step in (1, 10, 100, 1000, 10000))]


def _of_criterion(criterion):
    """Its kind and its numbers."""
    numbers = {name: v for name, v in vars(criterion).items() if isinstance(v, (int, float, str, type(None)))}
    return {"kind": type(criterion).__name__} | numbers


def of_data(data: Any) -> str:
    """A hash of what the data says of itself (its fingerprint()), else of its first two orders and of three batches."""
    if hasattr(data, "fingerprint"):
        return data.fingerprint()
    order = list(data.order(0))
    some = [data.batch(order[i]) for i in sorted({0, len(order) // 2, len(order) - 1})] if order else []
    arrays = [(name, to_numpy(array).tolist()) for batch in some for name, array in sorted(batch.items())]
    return _hash([_plain(order), _plain(data.order(1)), arrays])


def _plain(order):
    return [key.tolist() if hasattr(key, "tolist") else key for key in order]


def _hash(value):
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]
