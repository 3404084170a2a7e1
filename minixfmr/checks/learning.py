"""What training is given: labels and logits, parameters and rates, schedules; and whether it still converges."""

import math
from collections.abc import Iterable
from typing import Any

import numpy

from ..backend import check_array, to_numpy
from .arrays import are_within, array, integers
from .values import LARGEST, count, is_number, number, pair, plain, require, shown


class TrainingDiverged(FloatingPointError):
    """The loss or the gradients are no longer finite. The step was not taken: the weights are still those of the step
    before. The message says whether those are finite."""


def check_finite(step: int, loss: float, norm: float, weights: Any) -> None:
    """Raise TrainingDiverged unless the loss and the gradient norm of this step are finite."""
    if math.isfinite(loss) and math.isfinite(norm):
        return
    weights = to_numpy(weights)
    finite = math.isfinite(weights.max()) and math.isfinite(weights.min())
    raise TrainingDiverged(
        f"training diverged at step {step}: the loss is {loss}, the gradient norm {norm}. The weights are those of "
        f"step {step - 1}, {'which are finite' if finite else 'some of which are not finite either'}. "
        "A lower learning rate or a longer warm-up may help"
    )


def check_labels(logits: Any, labels: Any) -> Any:
    """The labels as an array, wherever it is. Raises unless they are integers, one for each row of float logits."""
    check_array(logits, "logits")
    if logits.dtype.char not in "fd" or not logits.ndim or not logits.shape[-1]:
        raise TypeError(f"logits must be floats of shape (..., V), V at least 1, got {shown(logits)}")
    found = array("labels", labels)
    if tuple(found.shape) != tuple(logits.shape[:-1]):
        raise ValueError(f"labels have shape {tuple(found.shape)}, logits {logits.shape}: all but V must agree")
    return integers("labels", found if hasattr(labels, "dtype") else labels)


def check_range(safe: Any, V: int, ignored: int) -> None:
    """Raise ValueError unless all labels lie in [0, V). safe: with 0 in the place of the ignored one"""
    if not are_within(safe, V):
        raise ValueError(
            f"labels must lie in [0, {V}) or be ignore_index = {ignored}, got values from {safe.min()} to {safe.max()}"
        )


def check_criterion(ignore_index: Any, label_smoothing: Any) -> tuple[int, float]:
    """Both as Python's numbers. Raises ValueError for an index that is no integer, or smoothing outside [0, 1)."""
    ignored = count("ignore_index", ignore_index, -LARGEST)
    if not is_number(label_smoothing, "[0, 1)"):
        raise ValueError(f"label_smoothing must lie in [0, 1), got {shown(label_smoothing)}")
    return ignored, number("label_smoothing", label_smoothing)


def divisor(given: Any, own: int) -> int:
    """What the loss is divided by: the count given, no less than the labels that count here, or these."""
    return max(own if given is None else count("count", given, own, hint=", as so many labels count here"), 1)


def check_parameters(parameters: Any, kind: type) -> list[Any]:
    """The Parameters as a list, each once. Raises TypeError unless they are Parameters of one dtype."""
    if hasattr(parameters, "parameters"):
        raise TypeError(f"AdamW needs a list of Parameters, got a {type(parameters).__name__}: give its .parameters()")
    if not isinstance(parameters, Iterable):
        raise TypeError(f"AdamW needs a list of Parameters, such as model.parameters(), got {shown(parameters)}")
    found = list({id(p): p for p in parameters}.values())
    if not found:
        raise ValueError("AdamW got an empty list of parameters")
    for p in found:
        if not isinstance(p, kind):
            raise TypeError(f"AdamW needs a list of Parameters, such as model.parameters(), one of it is {shown(p)}")
    dtypes = sorted({str(p.data.dtype) for p in found})
    if len(dtypes) > 1:
        raise TypeError(f"the parameters of one AdamW must be of one dtype, got {' and '.join(dtypes)}")
    return found


def check_adamw(lr: Any, betas: Any, eps: Any, weight_decay: Any) -> tuple[float, tuple[float, float], float, float]:
    """All as Python's floats. Raises ValueError for one outside what it means."""
    rates = all(is_number(x, "[0, inf)") for x in (lr, weight_decay)) and is_number(eps, "[1e-30, 1]")
    if not rates or not isinstance(betas, list | tuple | numpy.ndarray) or not _are_decays(betas):
        raise ValueError(
            f"AdamW needs finite lr, weight_decay >= 0, eps in [1e-30, 1] and two betas in [0, 1), got lr={shown(lr)}, "
            f"betas={shown(betas)}, eps={shown(eps)}, weight_decay={shown(weight_decay)}"
        )
    return number("lr", lr), pair("betas", betas, "[0, 1)"), number("eps", eps), number("weight_decay", weight_decay)


def _are_decays(betas):
    return len(betas) == 2 and all(is_number(beta, "[0, 1)") for beta in betas)


def rate(lr: Any, where: str = "") -> float:
    """A learning rate. Raises ValueError unless it is a finite number of at least 0."""
    return number("lr", lr, "[0, inf)", where)


def check_clipping(parameters: Any, max_norm: Any, norm: Any = None) -> tuple[list[Any], float]:
    """(the parameters as a list, the largest norm). Raises TypeError unless they have gradients, ValueError unless the
    norm is greater than 0: NaN clips nothing, 0 stops all learning."""
    found = list(parameters) if isinstance(parameters, Iterable) and not isinstance(parameters, str) else [None]
    if not all(hasattr(p, "grad") for p in found):
        raise TypeError(f"clip_grad_norm needs Parameters, such as model.parameters(), got {shown(parameters)}")
    require("max_norm", max_norm, is_number(max_norm, "(0, inf]"), "a number greater than 0")
    require("norm", norm, norm is None or is_number(norm, "[0, inf]"), "the norm of the gradients, or None")
    return found, float(plain(max_norm))


# --- schedules


def check_schedule(peak: Any, warmup: Any = 0, total: Any = LARGEST, final: Any = 0.0) -> tuple[float, int, int, float]:
    """(peak, warmup, total, final). Raises ValueError unless they are rates and counts of steps that make a curve."""
    peak, final = number("peak", peak, "[0, inf)"), number("final", final, "[0, inf)")
    total = count("total", total)
    return peak, count("warmup", warmup, 0, total), total, final


def step_number(step: Any) -> int:
    """Raises ValueError unless it counts from 1."""
    return count("step", step, 1, hint=": steps count from 1")
