"""Optimizers: turn gradients into a step."""

import weakref
from collections.abc import Iterable
from functools import partial
from typing import Any

from ..backend import (
    close_all,
    cores,
    new_worker,
    on_gpu,
    row_blocks,
    shared_zeros,
    to_device,
    to_numpy,
    xp,
)
from ..checks.learning import check_adamw, check_clipping, check_parameters, rate
from ..checks.weights import check_moments
from ..module import Parameter
from .flat import FlatParameter

BLOCK = 1 << 15  # numbers of each array at a time, so that all of them stay in the cache
WORTH = 1 << 19  # number of parameters above which helpers take a share of the update


def adamw_update(p, g, moments, t, lr, betas, eps, weight_decay):
    """One AdamW step (Loshchilov & Hutter 2019, algorithm 2), in place on p and the moments m, v. t counts from 1.

        m = β₁ m + (1 - β₁) g  = m + (1 - β₁) (g - m)
        v = β₂ v + (1 - β₂) g² = v + (1 - β₂) (g² - v)
        m̂ = m / (1 - β₁ᵗ),   v̂ = v / (1 - β₂ᵗ)
        p = (1 - lr · weight_decay) p - lr · m̂ / (√v̂ + eps)

    The paper scales the decay by the schedule alone; here, as in PyTorch, it is scaled by the learning rate.
    Derived in tutorials/11_every_gradient_derived, chapter 15.
    """
    (m, v), (beta1, beta2) = moments, betas
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g * g - v)
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    p *= 1 - lr * weight_decay
    p -= lr * m_hat / (xp.sqrt(v_hat) + eps)


def _update_share(arrays, share, shares, options):
    """adamw_update over every shares-th block of the long arrays p, g, m, v."""
    for block in row_blocks(arrays[0][:, None], BLOCK)[share::shares]:
        p, g, m, v = (array[block] for array in arrays)
        adamw_update(p, g, (m, v), *options)


class AdamW:
    """Adam with decoupled weight decay; the update of torch.optim.AdamW.

    parameters: a list of Parameters. They move into one buffer, so make one optimizer for them, after the model.
    lr may be set between steps, which is all that a schedule does.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        self.parameters = parameters = check_parameters(parameters, Parameter)  # a shared one is updated once
        self.lr, self.betas, self.eps, self.weight_decay = check_adamw(lr, betas, eps, weight_decay)
        self.flat = FlatParameter(parameters)
        self._views = [(p, p.data, p.grad) for p in parameters]  # parts of the flat arrays
        self.m, self.v = (shared_zeros(self.flat.data.size, self.flat.data.dtype) for _ in "mv")
        self.t = 0
        self._arrays = self.flat.data, self.flat.grad, self.m, self.v  # in memory that forked helpers share
        shares = cores() if self.m.size > WORTH and not on_gpu() else 1
        self._helpers = [new_worker(partial(_update_share, self._arrays, n, shares)) for n in range(1, shares)]
        weakref.finalize(self, close_all, self._helpers)

    def step(self) -> None:
        """Update every parameter from its gradient, which stays as it is."""
        if any(p.data is not data or p.grad is not grad for p, data, grad in self._views):
            raise RuntimeError(
                "a parameter's array was replaced after AdamW was made (by another optimizer, or by assigning to "
                ".data or .grad): make one optimizer, last, and write into arrays in place"
            )
        options = self.t + 1, rate(self.lr), self.betas, self.eps, self.weight_decay
        self.t += 1
        for helper in self._helpers:
            helper.start(options)
        _update_share(self._arrays, 0, 1 + len(self._helpers), options)
        for helper in self._helpers:
            helper.result()

    def zero_grad(self) -> None:
        """Set the gradients of its parameters to zero: model.zero_grad() without a pass over memory, since zeros are
        written only if a gradient is read before anything has been accumulated."""
        self.flat.clear_grad()

    def state_dict(self) -> dict[str, Any]:
        """{"m", "v": numpy arrays, one number per parameter value, "t": steps taken}"""
        return {"m": to_numpy(self.m).copy(), "v": to_numpy(self.v).copy(), "t": self.t}

    def load_state_dict(self, state: dict[str, Any], finite: bool = True) -> None:
        """Continue from such a state. finite: refuse NaN and infinity. Raises ValueError or TypeError, and changes
        nothing, if it belongs to other parameters."""
        self.t = check_moments(state, self.m.size, self.m.dtype, finite)
        self.m[...], self.v[...] = to_device(state["m"]), to_device(state["v"])

    def check_state(self, state: dict[str, Any], finite: bool = True) -> None:
        """Raise ValueError or TypeError unless load_state_dict takes this state."""
        check_moments(state, self.m.size, self.m.dtype, finite)


def grad_norm(parameters: Iterable[Parameter]) -> Any:
    """‖g‖, the root of Σ over all parameters of Σ g², as an array without axes."""
    gradients = [p.grad.reshape(-1) for p in parameters]
    return xp.sqrt(sum(g @ g for g in gradients))


def clip_grad_norm(parameters: Iterable[Parameter], max_norm: float, norm: float | None = None) -> float:
    """Scale all gradients together so that their norm is at most max_norm; return the norm from before.

        g = g · min(1, max_norm / (‖g‖ + 1e-6))

    (Pascanu et al. 2013, algorithm 1, with the 1e-6 of torch.nn.utils.clip_grad_norm_.) norm: ‖g‖, if it is known.

    Derived in tutorials/11_every_gradient_derived, chapter 15.
    """
    parameters, max_norm = check_clipping(parameters, max_norm, norm)
    norm = float(grad_norm(parameters)) if norm is None else norm
    scale = max_norm / (norm + 1e-6)
    if scale < 1:
        for p in parameters:
            p.grad *= scale
    return norm
