"""Learning-rate schedules: functions of the step, which counts from 1. Resuming needs no more than the step."""

import math

from ..checks.learning import check_schedule, step_number
from ..checks.values import count


def noam(d_model, warmup, factor=1.0):
    """The schedule of Vaswani et al. 2017, eq. 3: linear warm-up, then the inverse square root of the step.

    lr = factor · d_model^(-½) · min(step^(-½), step · warmup^(-3/2))
    """
    d_model, (factor, warmup, *_) = count("d_model", d_model), check_schedule(factor, warmup)
    return inverse_sqrt(factor * d_model**-0.5 * max(warmup, 1) ** -0.5, warmup)


def inverse_sqrt(peak, warmup):
    """The same curve, given by its peak:   lr = peak · min(step / warmup, √(warmup / step))."""
    peak, warmup, *_ = check_schedule(peak, warmup)
    warmup = max(warmup, 1)
    return lambda step: peak * min(step_number(step) / warmup, math.sqrt(warmup / step))


def cosine(peak, warmup, total, final=0.0):
    """Linear warm-up to peak, then half a cosine down to final (Loshchilov & Hutter 2017, eq. 5), which is reached
    after step total, the last one: it still learns.

    lr = final + (peak - final) · ½ (1 + cos(π · (step - warmup) / (total + 1 - warmup)))
    """
    peak, warmup, total, final = check_schedule(peak, warmup, total, final)

    def lr(step):
        if step_number(step) < warmup:
            return peak * step / warmup
        progress = min((step - warmup) / max(total + 1 - warmup, 1), 1.0)
        return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return lr


def constant(peak):
    """lr = peak at every step."""
    peak, *_ = check_schedule(peak)

    def lr(step):
        step_number(step)
        return peak

    return lr
