"""A third set of planted mistakes, in what courses ask for beside a Transformer: recurrent nets, convolution, pooling,
batch and group norm, layers of closures. Written before the checker knew anything about them: it explained 26 of the
58 then. Where one change has several true names, `also` holds them; some were added once they had been read."""

from mistakes import (
    ASSIGNED,
    AT_OUTPUT,
    AXES_PERMUTED,
    COUNT,
    DOUBLED_BRANCH,
    FACTOR,
    FACTOR_DOUBLED,
    FACTOR_MISSING,
    IGNORE_INDEX,
    MASK_INVERTED,
    MASKED,
    MEAN,
    MEAN_TERM,
    MISSING_BRANCH,
    MISSING_RESIDUAL,
    NOT_RESCALED,
    ONE_TOO_MANY,
    OTHER,
    OVERWRITTEN,
    SIGN,
    SLOPE_MISSING,
    SWAPPED,
    TERM_MISSING,
    TOO_FEW_AXES,
    TOO_MANY_AXES,
    TRANSPOSED,
    VARIANCE_TERM,
    WRONG_AXIS,
    WRONG_NUMBER,
    WRONG_POWER,
    WRONG_VARIABLE,
    m,
)

# causes that only this set has
NOT_HANDED_ON = "not handed on"  # a step's gradient does not reach the step before
STEP_SKIPPED = "step skipped"
CLIPPED = "clipped"
ALIASED = "changed in place"  # one array under two names
WRONG_DIRECTION = "wrong direction"  # of a loop
WRONG_INDEX = "wrong index"
WINDOW = "window"  # stride, padding, size: the backward looks at other entries than the forward

NORM = "dxc = dhat / std + 2 / N * xc * dvar"
PLACE = "dpadded[:, :, i * stride : i * stride + k, j * stride : j * stride + k] +="
POOLED = "dx[:, :, i * stride : i * stride + k, j * stride : j * stride + k] +="
HANDED = "dcarry = dz @ Wh.T\n    return dx, dcarry"

RECURRENT = [
    m("rnn", HANDED, "dprevious = dz @ Wh.T\n    return dx, dprevious", NOT_HANDED_ON, also=(MISSING_BRANCH,)),
    m("rnn", "dh = dout[:, t] + dcarry", "dh = dout[:, t]", NOT_HANDED_ON, also=(MISSING_BRANCH,)),
    m("rnn", "dh = dout[:, t] + dcarry", "dh = dcarry if t < x.shape[1] - 1 else dout[:, t]", MISSING_BRANCH),
    m("rnn", "(1 - steps[t] ** 2)", "(1 - np.tanh(steps[t]) ** 2)", AT_OUTPUT),
    m("rnn", "(1 - steps[t] ** 2)", "(1 - steps[t - 1] ** 2)", WRONG_VARIABLE, also=(WRONG_NUMBER,)),
    m("rnn", "reversed(range(x.shape[1]))", "reversed(range(1, x.shape[1]))", STEP_SKIPPED),
    m("rnn", "reversed(range(x.shape[1]))", "range(x.shape[1])", WRONG_DIRECTION),
    m("rnn", "dWh += before.T @ dz", "dWh = before.T @ dz", ASSIGNED, also=(OVERWRITTEN,)),
    m("rnn", "dcarry = dz @ Wh.T", "dcarry = dz @ Wh", TRANSPOSED),
    m("rnn", "dcarry = dz @ Wh.T", "dcarry = dh @ Wh.T", WRONG_VARIABLE, also=(SLOPE_MISSING, FACTOR_MISSING)),
    m("rnn", "    return dx, dcarry", "    dWx = np.clip(dWx, -1, 1)\n    return dx, dcarry", CLIPPED),
    m("lstm_step", "f * (1 - f)", "(1 - f)", FACTOR_MISSING, also=(SLOPE_MISSING, TERM_MISSING)),
    m("lstm_step", "dg * (1 - g**2)", "dg * g * (1 - g)", OTHER, also=(SLOPE_MISSING, MISSING_BRANCH)),
    m(
        "lstm_step",
        "dnew_c = dnew_c + dnew_h * o * (1 - tanh_c**2)",
        "dnew_c = dnew_h * o * (1 - tanh_c**2)",
        MISSING_BRANCH,
        also=(OVERWRITTEN,),
    ),
    m("lstm_step", "dnew_h * o * (1 - tanh_c**2)", "dnew_h * o * (1 - new_c**2)", WRONG_VARIABLE),
    m("lstm_step", "dc = dnew_c * f", "dc = dnew_c * i", WRONG_VARIABLE),
    m("lstm_step", "dnew_c * g, dnew_c * c, dnew_c * i", "dnew_c * g, dnew_c * new_c, dnew_c * i", WRONG_VARIABLE),
    m(
        "lstm_step",
        "(1 - i), df * f * (1 - f), do * o * (1 - o), dg",
        "(1 - i), do * o * (1 - o), df * f * (1 - f), dg",
        SWAPPED,
    ),
]
WINDOWS = [
    m("convolution", "dpadded[:, :, pad : pad + height, pad : pad + width]", "dpadded[:, :, :height, :width]", WINDOW),
    m(
        "convolution",
        PLACE,
        PLACE.replace("i * stride : i * stride", "i : i").replace("j * stride : j * stride", "j : j"),
        WINDOW,
    ),
    m("convolution", PLACE, PLACE[:-2] + "=", ASSIGNED, also=(OVERWRITTEN,)),
    m("convolution", "axis=(0, 2, 3)", "axis=(2, 3)", TOO_FEW_AXES),
    m("convolution", "dw += np.einsum", "dw = np.einsum", ASSIGNED, also=(OVERWRITTEN,)),
    m(
        "convolution",
        '"nf,fcab->ncab", d, w)',
        '"nf,fcab->ncab", d, w[:, :, ::-1, ::-1])',
        OTHER,
        also=(AXES_PERMUTED, WRONG_VARIABLE),
    ),
    m("pooling", POOLED, POOLED[:-2] + "=", ASSIGNED, also=(OVERWRITTEN,)),
    m(
        "pooling",
        "largest * dout[:, :, i, j][:, :, None, None]",
        "dout[:, :, i, j][:, :, None, None] / k**2",
        MASKED,
        also=(OTHER,),
    ),
    m(
        "pooling",
        "window.max(axis=(2, 3), keepdims",
        "window.max(axis=(1, 2, 3), keepdims",
        WRONG_AXIS,
        also=(TOO_MANY_AXES,),
    ),
]
NORMS = [
    m("batch_norm", "dx = dxc + dmu / N", "dx = dxc", MEAN_TERM, also=(MISSING_BRANCH,)),
    m("batch_norm", NORM, "dxc = dhat / std", VARIANCE_TERM, also=(MISSING_BRANCH,)),
    m("batch_norm", "+ dmu / N", "+ dmu", FACTOR, also=(WRONG_NUMBER, MEAN, OTHER)),
    m("batch_norm", "/ std**2", "/ std", WRONG_POWER, also=(FACTOR_MISSING, WRONG_VARIABLE)),
    m("batch_norm", "dvar = dstd / (2 * std)", "dvar = dstd / std", WRONG_NUMBER, also=(FACTOR,)),
    m("batch_norm", "-(dhat * xc)", "(dhat * xc)", SIGN),
    m("batch_norm", "dhat = dout * gamma", "dhat = dout", FACTOR_MISSING),
    m("batch_norm", "dbeta = dout.sum(axis=0)", "dbeta = dout.mean(axis=0)", MEAN),
    m("batch_norm", "    return dx, dgamma, dbeta", "    return dx, dbeta, dgamma", SWAPPED),
    m("group_norm", "dhat - dhat.mean(axis=2", "dhat - dhat.mean(axis=(1, 2)", TOO_MANY_AXES, also=(WRONG_AXIS,)),
    m("group_norm", "np.sum(dout * hat, axis=(0, 2, 3))", "np.sum(dout, axis=(0, 2, 3))", FACTOR_MISSING),
    m("group_norm", " - h * (dhat * h).mean(axis=2, keepdims=True)", "", VARIANCE_TERM),
    m("group_norm", "(inner / std)", "inner", FACTOR_MISSING, also=(FACTOR_DOUBLED,)),
]
CLOSURES = [
    m("closures", "dy * (1 - y**2)", "dy * (1 - y)", WRONG_POWER, also=(WRONG_NUMBER, TERM_MISSING)),
    m("closures", "dy * (1 - y**2)", "dy * (1 - x**2)", WRONG_VARIABLE),
    m("closures", "dy * (1 - y**2)", "dy * (1 - np.tanh(y) ** 2)", AT_OUTPUT),
    m("closures", "return dy * MASK / KEEP", "return dy * MASK", NOT_RESCALED, also=(FACTOR,)),
    m("closures", "return dy * MASK / KEEP", "return dy / KEEP", MASKED),
    m("closures", "return dy * MASK / KEEP", "return dy", FACTOR_MISSING, also=(MASKED,)),
    m("closures", "dy.sum(axis=0)", "dy.mean(axis=0)", MEAN),
    m("closures", "x.T @ dy, dy", "x.T @ dy / len(x), dy", MEAN),
    m("closures", "dz = back_tanh(da)", "dz = da", SLOPE_MISSING, also=(FACTOR_MISSING,)),
    m("labels", "p * real[:, None] / real.sum()", "p / real.sum()", IGNORE_INDEX, also=(MASKED, FACTOR_MISSING)),
    m("labels", "p * real[:, None] / real.sum()", "p * real[:, None] / len(p)", COUNT),
    m("labels", "p[np.arange(len(p)), LABELS] -= 1", "p[:, LABELS] -= 1", WRONG_INDEX),
    m("labels", "p = cache[0].copy()", "p = -cache[0].copy()", SIGN, also=(OTHER,)),
    m("residual_block", "dx = dout + dz @ w1.T", "dx = dz @ w1.T", MISSING_RESIDUAL, also=(MISSING_BRANCH,)),
    m(
        "residual_block",
        "dx = dout + dz @ w1.T",
        "dx = dout\n    dx += dz @ w1.T\n    dx += dout",
        DOUBLED_BRANCH,
        also=(ALIASED, FACTOR, ONE_TOO_MANY),
    ),
    m("residual_block", "dz = dh * (z > 0)", "dz = dout\n    dz *= z > 0", ALIASED, also=(WRONG_VARIABLE,)),
    m("residual_block", "dz = dh * (z > 0)", "dz = dh * (z < 0)", MASK_INVERTED),
    m("residual_block", "dh = dout @ w2.T", "dh = dout @ w2.T * h", ONE_TOO_MANY, also=(FACTOR_DOUBLED, AT_OUTPUT)),
]

THIRD_MISTAKES = [*RECURRENT, *WINDOWS, *NORMS, *CLOSURES]


def third_inputs(file, rng, variant=""):
    """The arguments of the file's forward; sizes differ, but where a mistake needs a square one (rnn, residual)."""
    normal = rng.standard_normal
    return {
        "rnn": lambda: (normal((3, 4, 2)), normal((3, 5)), normal((2, 5)) * 0.6, normal((5, 5)) * 0.4, normal(5) * 0.3),
        "lstm_step": lambda: (*(normal(s) for s in [(3, 4), (3, 5), (3, 5), (4, 20), (5, 20), 20]),),
        "convolution": lambda: (normal((2, 3, 5, 6)), normal((4, 3, 3, 3)), normal(4), 2, 1),
        "pooling": lambda: (normal((2, 3, 6, 7)), 3, 2),
        "batch_norm": lambda: (normal((6, 4)), rng.uniform(0.5, 1.5, 4), normal(4), 1e-5),
        "group_norm": lambda: (normal((2, 6, 3, 4)), rng.uniform(0.5, 1.5, 6), normal(6), 2),
        "closures": lambda: (normal((6, 4)), normal((4, 5)), normal(5), normal((5, 3)), normal(3)),
        "labels": lambda: (normal((7, 5)),),
        "residual_block": lambda: (normal((5, 4)), normal((4, 4)), normal(4), normal((4, 4))),
    }[file]()
