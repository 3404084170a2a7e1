"""A catalogue of planted mistakes: what people really get wrong when they write a backward pass by hand.

Each entry replaces one snippet (or a few) of a right solution in tests/homework/. They come from student code, from
course forums and from published projects; those with a `seen` were found in a public repository and run.

    for mistake in MISTAKES:
        module = load(mistake, folder)          # the mutated file, imported from folder under a name of its own
        arguments = inputs(mistake.file, rng, mistake.variant)

Sizes all differ, so that a constant can be told apart: B = 2, T = 5, S = 7, H = 3, d_head = 6, d = 18 and more.
"""

import importlib.util
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HOMEWORK = Path(__file__).parent / "homework"

# --- causes of a wrong gradient

FACTOR = "factor"  # analytic = factor · right; Mistake.factor names it
SIGN = "sign"
TRANSPOSED = "transposed"  # the gradient itself, or a matrix inside its formula
AXES_PERMUTED = "axes permuted"  # heads included
TOO_FEW_AXES = "summed over too few axes"
TOO_MANY_AXES = "summed over too many axes"
MEAN = "mean instead of sum"
MISSING_RESIDUAL = "missing residual"
MISSING_BRANCH = "missing branch"  # of an input that is used more than once
DOUBLED_BRANCH = "doubled branch"
MEAN_TERM = "mean term missing"
VARIANCE_TERM = "variance term missing"
GAIN_OUTSIDE = "gain outside the sums"
SOFTMAX_ROW = "softmax row term missing"  # or the Jacobian taken for its diagonal
MASKED = "masked positions"  # gradient passes where a mask blocks
BIAS_NOT_SUMMED = "bias not summed"
ASSIGNED = "assigned instead of accumulated"  # repeated tokens, or the turns of a loop
MASK_REDRAWN = "mask redrawn"  # backward's dropout mask is not that of its forward: a new one, or a later call's
NOT_RESCALED = "not rescaled"  # dropout's 1 / (1 - p)
AT_OUTPUT = "derivative at the output"
OTHER_GELU = "other GELU"
COUNT = "not divided by the labels that count"
IGNORE_INDEX = "ignore_index"
SMOOTHING = "label smoothing"
OVERWRITTEN = "overwritten"  # a gradient of an earlier use or call is lost
WRONG_AXIS = "wrong axis"
WRONG_VARIABLE = "wrong variable"  # a mix-up of names
SWAPPED = "swapped"  # results returned, or taken, in the wrong order
FACTOR_MISSING = "factor missing"  # one that is an array: a gain, a local derivative, a matrix
FACTOR_DOUBLED = "factor doubled"
SLOPE_MISSING = "activation derivative missing"
TERM_MISSING = "term missing"  # of an activation's derivative
BOTH_TERMS = "mean and variance terms missing"
ONE_TOO_MANY = "one term too many"
WRONG_POWER = "wrong power"
WRONG_NUMBER = "wrong number"
MASK_INVERTED = "mask inverted"
STATE_OVERWRITTEN = "state overwritten"  # of a layer that is used twice
WRONG_SUBSCRIPTS = "wrong subscripts"  # of einsum: another name of several
# real mistakes with no explanation of their own: it is right to say that nothing fits
OTHER = "other"

# --- causes that finite differences do not see: the gradient may be right, the property is not

LOOK_AHEAD = "look-ahead"  # an output moves with a later input, or with one that the mask hides
PADDING = "padding"  # an output moves with a padded position
CHANGES_INPUT = "changes its input"
CHANGES_DY = "changes dy"
NOT_DETERMINISTIC = "not deterministic"
DTYPE = "dtype"  # float64 in, a gradient of less out
NAN = "nan"

PROPERTIES = (LOOK_AHEAD, PADDING, CHANGES_INPUT, CHANGES_DY, NOT_DETERMINISTIC, DTYPE, NAN)
GRADIENTS = (
    *(FACTOR, SIGN, TRANSPOSED, AXES_PERMUTED, TOO_FEW_AXES, TOO_MANY_AXES, MEAN, MISSING_RESIDUAL, MISSING_BRANCH),
    *(DOUBLED_BRANCH, MEAN_TERM, VARIANCE_TERM, GAIN_OUTSIDE, SOFTMAX_ROW, MASKED, BIAS_NOT_SUMMED, ASSIGNED),
    *(MASK_REDRAWN, NOT_RESCALED, AT_OUTPUT, OTHER_GELU, COUNT, IGNORE_INDEX, SMOOTHING, OVERWRITTEN, WRONG_AXIS),
    *(WRONG_VARIABLE, SWAPPED, FACTOR_MISSING, FACTOR_DOUBLED, SLOPE_MISSING, TERM_MISSING, BOTH_TERMS, ONE_TOO_MANY),
    *(WRONG_POWER, WRONG_NUMBER, MASK_INVERTED, STATE_OVERWRITTEN, OTHER),
)
CAUSES = GRADIENTS + PROPERTIES

# --- names of factors: of the wrong gradient over the right one

FACTORS = {
    "2": 2.0,
    "1/2": 0.5,
    "sqrt(d_head)": 6**0.5,
    "1/sqrt(d_head)": 6**-0.5,
    "d_head": 6.0,
    "d_model": 18.0,
    "1/batch size": 1 / 2,
    "length": 5.0,
    "1/length": 1 / 5,
    "1/heads": 1 / 3,
    "keep probability": 0.7,
    "1/keep probability": 1 / 0.7,
}


@dataclass(frozen=True)
class Mistake:
    file: str  # of tests/homework/, without .py; "classes.Linear" for a class of classes.py
    old: str | tuple  # a snippet that occurs once; or a tuple of (old, new) pairs
    new: str
    cause: str
    factor: str = ""  # a name of FACTORS
    also: tuple = ()  # causes that describe the same wrong numbers as well
    variant: str = ""  # of inputs
    seen: str = ""  # where it was found
    note: str = ""  # what is wrong, in plain words

    @property
    def accepted(self):
        """Every cause that describes these wrong numbers: the cause itself, `also`, and what is a factor as well."""
        same = {FACTOR} if self.cause in (MEAN, COUNT, NOT_RESCALED) else set()
        same |= {MEAN} if self.factor in ("1/batch size", "1/length") else set()
        return {self.cause, *self.also} | same

    @property
    def pairs(self):
        return ((self.old, self.new),) if isinstance(self.old, str) else self.old


def m(file, old, new, cause, **more):
    return Mistake(file, old, new, cause, **more)


def several(file, pairs, cause, **more):
    return Mistake(file, tuple(pairs), "", cause, **more)


AKI = "AkiRusProd/numpy-transformer"
RZIGA = "rziga/numpy-is-all-you-need"

SOFTMAX = [
    m("softmax", "dx = weighted - y * row", "dx = weighted", SOFTMAX_ROW),
    m("softmax", "dx = weighted - y * row", "dx = dout * y * (1 - y)", SOFTMAX_ROW),
    m("softmax", "dx = weighted - y * row", "dx = y * row - weighted", SIGN),
    m("softmax", "dx = weighted - y * row", "dx = weighted - dout * row", WRONG_VARIABLE),
    m("softmax", "np.sum(weighted, axis=-1,", "np.sum(weighted, axis=-2,", WRONG_AXIS),
    m("softmax", "    return dx", "    return dx / len(dout)", FACTOR, factor="1/batch size", seen=AKI),
    m("softmax", "weighted = dout * y", "dout *= y\n    weighted = dout", CHANGES_DY),
    m(
        "softmax",
        "shifted = x - np.max(x, axis=-1, keepdims=True)",
        "x -= np.max(x, axis=-1, keepdims=True)\n    shifted = x",
        CHANGES_INPUT,
    ),
    m("softmax", "shifted = x - np.max(x, axis=-1, keepdims=True)", "shifted = x", NAN, variant="large"),
]

BY_LABEL = (
    ("cache = (log_p, target, keep", "cache = (log_p, (target, np.arange(N), safe), keep"),
    ("log_p, target, keep, count, shape = cache", "log_p, (target, row, safe), keep, count, shape = cache"),
)
CROSS_ENTROPY = [
    m(
        "cross_entropy",
        "dz = dz / count",
        "dz = dz / shape[0]",
        FACTOR,
        factor="length",
        also=(COUNT,),
        seen=RZIGA,
        variant="all count",
    ),
    m("cross_entropy", "dz = dz / count", "dz = dz / count / shape[0]", FACTOR, factor="1/batch size", seen=AKI),
    m("cross_entropy", "dz = dz / count", "dz = dz / 1", COUNT),
    m("cross_entropy", "dz = dz / count", "dz = dz / len(keep)", COUNT),
    m("cross_entropy", "dz = dz / count", "dz = dz / shape[0]", COUNT),
    m("cross_entropy", "    dz = dz * keep[:, None]\n", "", IGNORE_INDEX),
    m("cross_entropy", "dz = p - target", "dz = target - p", SIGN),
    several("cross_entropy", (*BY_LABEL, ("dz = p - target", "dz = p.copy()\n    dz[row, safe] -= 1")), SMOOTHING),
    several(
        "cross_entropy",
        (*BY_LABEL, ("dz = p - target", "dz = p.copy()\n    dz[row, safe] -= target[row, safe]")),
        SMOOTHING,
    ),
    several(
        "cross_entropy",
        (*BY_LABEL, ("dz = p - target", "dz = p - np.where(p == p[row, safe][:, None], target.max(), target.min())")),
        OTHER,
        seen=AKI,
    ),  # the label found by its value: wrong where logits tie
    m("cross_entropy", "dz = p - target", "dz = (p - target) * p * (1 - p)", OTHER),
    m("cross_entropy", "dout * dz.reshape(shape)", "dz.reshape(shape)", OTHER, also=(FACTOR,)),  # dout
    m(
        "cross_entropy",
        "log_p = shifted - log_total",
        "log_p = np.log(np.exp(shifted - log_total))",
        NAN,
        variant="large",
    ),
    m(
        "cross_entropy",
        "shifted = z - np.max(z, axis=1, keepdims=True)",
        "z -= np.max(z, axis=1, keepdims=True)\n    shifted = z",
        CHANGES_INPUT,
    ),
]

LINEAR = [
    m("linear", "dbias = np.sum(drows, axis=0)", "dbias = dout", BIAS_NOT_SUMMED, also=(TOO_FEW_AXES,)),
    m("linear", "np.sum(drows, axis=0)", "np.sum(dout, axis=0)", TOO_FEW_AXES, also=(BIAS_NOT_SUMMED,)),
    m("linear", "np.sum(drows, axis=0)", "np.sum(drows)", TOO_MANY_AXES),
    m("linear", "np.sum(drows, axis=0)", "np.sum(drows, axis=1)", WRONG_AXIS),
    m("linear", "np.sum(drows, axis=0)", "np.mean(drows, axis=0)", MEAN),
    m("linear", "np.sum(drows, axis=0)", "np.sum(drows, axis=0, dtype=np.float32)", DTYPE),
    m("linear", "dweight = rows.T @ drows", "dweight = rows.T @ drows / len(x)", FACTOR, factor="1/batch size"),
    m("linear", "dweight = rows.T @ drows", "dweight = drows.T @ rows", TRANSPOSED),
    m("linear", "dweight = rows.T @ drows", "dweight = drows.T @ rows", TRANSPOSED, variant="square"),
    m("linear", "dx = dout @ weight.T", "dx = dout @ weight", TRANSPOSED, variant="square"),
    m("linear", "rows.T @ drows", 'np.einsum("bti,btj->bij", x, dout)', TOO_FEW_AXES),
    m(
        "linear",
        "dweight = rows.T @ drows",
        "for b in range(len(x)):\n        dweight = x[b].T @ dout[b]",
        ASSIGNED,
        also=(OVERWRITTEN,),
    ),
]

EMBEDDING = [
    m("embedding", "np.add.at(dtable, ids, dout)", "dtable[ids] = dout", ASSIGNED, also=(OVERWRITTEN,)),
    m("embedding", "np.add.at(dtable, ids, dout)", "dtable[ids] += dout", ASSIGNED, also=(OVERWRITTEN,)),
    m(
        "embedding",
        "np.add.at(dtable, ids, dout)",
        "np.add.at(dtable, ids, dout)\n    count = np.bincount(ids.ravel(), minlength=shape[0])\n"
        "    dtable /= np.maximum(count, 1)[:, None]",
        MEAN,
    ),
    m("embedding", "np.zeros(shape)", "np.zeros(shape, dtype=np.float32)", DTYPE),
]

NORM = "dx = (dn - through_mean - through_var) / std"
LAYER_NORM = [
    several(
        "layer_norm",
        (("dn = dout * weight", "dn = dout"), (NORM, "dx = weight * (dn - through_mean - through_var) / std")),
        GAIN_OUTSIDE,
        seen=AKI,
    ),
    m("layer_norm", NORM, "dx = (dn - through_var) / std", MEAN_TERM),
    m("layer_norm", NORM, "dx = (dn - through_mean) / std", VARIANCE_TERM),
    m("layer_norm", NORM, "dx = dn / std", BOTH_TERMS),
    m("layer_norm", NORM, "dx = (dn - through_mean - through_var) * std", WRONG_POWER),
    m("layer_norm", NORM, "dx = (dn - through_mean + through_var) / std", SIGN, also=(OTHER,)),
    m("layer_norm", "dn = dout * weight", "dn = dout", FACTOR_MISSING),  # the gain
    m("layer_norm", "dn = dout * weight", "dout *= weight\n    dn = dout", CHANGES_DY),
    m("layer_norm", "np.mean(dn, axis=-1,", "np.mean(dn, axis=-2,", WRONG_AXIS),
    m("layer_norm", "n * np.mean(dn * n, axis=-1,", "n * np.mean(dn * n, axis=0,", WRONG_AXIS),
    m(
        "layer_norm",
        "n * np.mean(dn * n, axis=-1, keepdims=True)",
        "n * np.sum(dn * n, axis=-1, keepdims=True) / (d - 1)",
        WRONG_NUMBER,
    ),  # the other variance than forward's
    several(
        "layer_norm",
        (("through_mean = np.mean(dn", "through_mean = np.sum(dn"), ("n * np.mean(dn * n", "n * np.sum(dn * n")),
        OTHER,
    ),
    m("layer_norm", "np.sum((dout * n).reshape(-1, d), axis=0)", "np.sum(dout * n, axis=0)", TOO_FEW_AXES),
    m("layer_norm", "np.sum((dout * n)", "np.sum((dout * n * std)", FACTOR_DOUBLED),
    m("layer_norm", "dbias = np.sum(", "dbias = np.mean(", MEAN),
]

GELU_GRAD = "return 0.5 * (1 + t) + 0.5 * x * dt"
GELU = [
    m(
        "gelu",
        GELU_GRAD,
        "import math\n\n    phi = 0.5 * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))\n"
        "    return phi + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)",
        OTHER_GELU,
    ),
    m(
        "gelu",
        GELU_GRAD,
        "s = 1 / (1 + np.exp(-1.702 * x))\n    return s + 1.702 * x * s * (1 - s)",
        OTHER_GELU,
    ),
    several(
        "gelu",
        (
            ("cache = (x, t)", "cache = (y,)"),
            ("x, t = cache", "(x,) = cache\n    t = np.tanh(C * (x + A * x**3))"),
        ),
        AT_OUTPUT,
    ),
    m("gelu", GELU_GRAD, "return 0.5 * (1 + t)", TERM_MISSING),
    m("gelu", "du = C * (1 + 3 * A * x**2)", "du = C * (1 + A * x**2)", WRONG_NUMBER, also=(FACTOR,)),
    m("gelu", "dt = (1 - t**2) * du", "dt = 1 - t**2", FACTOR_MISSING),
]

DROPOUT = [
    m(
        "dropout",
        "dx = dout * keep / (1 - p)",
        "dx = dout * keep",
        NOT_RESCALED,
        factor="keep probability",
        also=(FACTOR,),
    ),
    m("dropout", "dx = dout * keep / (1 - p)", "dx = dout * keep / (1 - p) ** 2", FACTOR, factor="1/keep probability"),
    m("dropout", "dx = dout * keep / (1 - p)", "dx = dout * keep / p", WRONG_VARIABLE, also=(FACTOR, NOT_RESCALED)),
    m("dropout", "dx = dout * keep / (1 - p)", "dx = dout / (1 - p)", MASKED),
    m("dropout", "dx = dout * keep / (1 - p)", "dx = dout * ~keep / (1 - p)", MASK_INVERTED),
    several(
        "dropout",
        (
            ("cache = (keep, p)", "cache = (rng, p)"),
            ("keep, p = cache", "rng, p = cache"),
            ("if keep is None", "if rng is None"),
            ("dx = dout * keep", "dx = dout * (rng.random(dout.shape) >= p)"),
        ),
        MASK_REDRAWN,
    ),
    m(
        "dropout",
        "return dout.copy()",
        "return dout / (1 - p)",
        FACTOR,
        factor="1/keep probability",
        seen=AKI,
        variant="evaluation",
    ),
    m(
        "dropout",
        "keep = rng.random(x.shape) >= p",
        "import numpy as np\n\n    keep = np.random.rand(*x.shape) >= p",
        NOT_DETERMINISTIC,
    ),
    m("dropout", "y = x * keep / (1 - p)", "x[~keep] = 0\n    y = x / (1 - p)", CHANGES_INPUT),
    m("dropout", "dx = dout * keep / (1 - p)", "dout *= keep\n    dx = dout / (1 - p)", CHANGES_DY),
]

SCALED = "    dscores = dscores / np.sqrt(d_head)\n"
WHERE = "scores = np.where(mask, scores, -np.inf)"
ATTENTION = [
    m("attention", SCALED, "", FACTOR, factor="sqrt(d_head)"),
    m("attention", SCALED, "    dscores = dscores / d_head\n", FACTOR, factor="1/sqrt(d_head)"),
    several(
        "attention",
        ((SCALED, ""), ("dq = dscores @ k", "dq = dscores @ k / np.sqrt(d_head)")),
        FACTOR,
        factor="sqrt(d_head)",
    ),
    m("attention", "dscores = w * (dw - row)", "dscores = w * dw", SOFTMAX_ROW),
    m("attention", "dscores = w * (dw - row)", "dscores = dw * w * (1 - w)", SOFTMAX_ROW),
    m("attention", "dscores = w * (dw - row)", "dscores = dw - row", FACTOR_MISSING),
    m("attention", "np.sum(dw * w, axis=-1,", "np.sum(dw * w, axis=-2,", WRONG_AXIS),
    m("attention", "np.sum(dw * w, axis=-1,", "np.mean(dw * w, axis=-1,", MEAN),
    m("attention", WHERE, "scores = scores * mask", MASKED, also=(LOOK_AHEAD, PADDING)),
    several(
        "attention",
        (
            ("        " + WHERE, "        blocked = ~mask"),
            ("w = softmax(scores)", "soft = softmax(scores)\n    w = soft if mask is None else soft * ~blocked"),
            ("cache = (q, k, v, w)", "cache = (q, k, v, w, soft)"),
            ("q, k, v, w = cache", "q, k, v, w, soft = cache"),
            ("np.sum(dw * w, axis", "np.sum(dw * soft, axis"),
            ("dscores = w * (dw - row)", "dscores = soft * (dw - row)"),
        ),
        MASKED,
    ),
    m("attention", "dk = dscores.swapaxes(-1, -2) @ q", "dk = dscores @ q", TRANSPOSED, variant="square"),
    m("attention", "dv = w.swapaxes(-1, -2) @ dout", "dv = w @ dout", TRANSPOSED, variant="square"),
    m("attention", "return dq, dk, dv", "return dk, dq, dv", SWAPPED, variant="square"),
    m(
        "attention",
        "dk = dscores.swapaxes(-1, -2) @ q",
        "dk = dscores.swapaxes(-1, -2) @ k",
        WRONG_VARIABLE,
        variant="square",
    ),
    m("attention", "        " + WHERE, "        pass", LOOK_AHEAD, variant="square"),
    m("attention", WHERE, "scores = scores + mask", LOOK_AHEAD, variant="square"),
    m("attention", WHERE, "scores = np.where(mask, -1e9, scores)", LOOK_AHEAD, variant="square"),
    m("attention", WHERE, "scores = np.where(mask.swapaxes(-1, -2), scores, -np.inf)", LOOK_AHEAD, variant="square"),
    several(  # softmax over the queries; its gradient is right
        "attention",
        (
            ("np.max(s, axis=-1,", "np.max(s, axis=-2,"),
            ("np.sum(e, axis=-1,", "np.sum(e, axis=-2,"),
            ("np.sum(dw * w, axis=-1,", "np.sum(dw * w, axis=-2,"),
        ),
        LOOK_AHEAD,
        variant="square",
    ),
    m(
        "attention",
        "scores = q @ k.swapaxes(-1, -2) / np.sqrt(d_head)",
        "q /= np.sqrt(d_head)\n    scores = q @ k.swapaxes(-1, -2)",
        CHANGES_INPUT,
    ),
    m("attention", "np.exp(s - np.max(s, axis=-1, keepdims=True))", "np.exp(s)", NAN, variant="large"),
]

MULTI_HEAD = [
    m("multi_head_attention", "    dx = dx + dv @ w_v.T\n", "", MISSING_BRANCH),
    m("multi_head_attention", "dx = dx + dk @ w_k.T", "dx = dk @ w_k.T", MISSING_BRANCH, also=(OVERWRITTEN,)),
    m("multi_head_attention", "dx = dq @ w_q.T", "dx = dq @ w_q.T + dk @ w_k.T", DOUBLED_BRANCH, also=(ONE_TOO_MANY,)),
    m("multi_head_attention", "dx + dv @ w_v.T", "dx + dk @ w_v.T", WRONG_VARIABLE),
    m("multi_head_attention", "dx = dq @ w_q.T", "dx = dq @ w_q", TRANSPOSED),
    m("multi_head_attention", "dmerged = dout @ w_o.T", "dmerged = dout @ w_o", TRANSPOSED),
    m("multi_head_attention", "dmerged = dout @ w_o.T", "dmerged = dout", FACTOR_MISSING),
    m("multi_head_attention", "dw_o = rows(merged).T @ rows(dout)", "dw_o = rows(dout).T @ rows(merged)", TRANSPOSED),
    m("multi_head_attention", "dw_v = rows(x).T @ rows(dv)", "dw_v = rows(x).T @ rows(dk)", WRONG_VARIABLE),
    m(
        "multi_head_attention",
        "dw_v = rows(x).T @ rows(dv)",
        "dw_v = rows(x).T @ rows(dv) / len(x)",
        FACTOR,
        factor="1/batch size",
    ),
    m("multi_head_attention", "dw_q = rows(x).T @ rows(dq)", "dw_q = -rows(x).T @ rows(dq)", SIGN),
    m("multi_head_attention", "dq = merge_heads(dq)", "dq = dq.reshape(x.shape)", AXES_PERMUTED),
    m("multi_head_attention", "dv = merge_heads(dv)", "dv = dv.reshape(x.shape)", AXES_PERMUTED),
    m(
        "multi_head_attention",
        "dheads = split_heads(dmerged, num_heads)",
        "dheads = dmerged.reshape(x.shape[0], num_heads, x.shape[1], -1)",
        AXES_PERMUTED,
    ),
    m(
        "multi_head_attention",
        "dq = merge_heads(dq)",
        "dq = dq.transpose(0, 2, 3, 1).reshape(x.shape)",
        AXES_PERMUTED,
    ),
    m(
        "multi_head_attention",
        "dheads = split_heads(dmerged, num_heads)",
        "dheads = split_heads(dmerged, num_heads) / num_heads",
        FACTOR,
        factor="1/heads",
    ),
    m("multi_head_attention", "attention_forward(q, k, v, mask)", "attention_forward(q, k, v, None)", LOOK_AHEAD),
    several(  # heads cut without moving their axis, undone likewise: the gradient is right
        "multi_head_attention",
        (
            ("q = split_heads(x @ w_q, num_heads)", "q = (x @ w_q).reshape(x.shape[0], num_heads, x.shape[1], -1)"),
            ("k = split_heads(x @ w_k, num_heads)", "k = (x @ w_k).reshape(q.shape)"),
            ("v = split_heads(x @ w_v, num_heads)", "v = (x @ w_v).reshape(q.shape)"),
            ("dq = merge_heads(dq)", "dq = dq.reshape(x.shape)"),
            ("dk = merge_heads(dk)", "dk = dk.reshape(x.shape)"),
            ("dv = merge_heads(dv)", "dv = dv.reshape(x.shape)"),
        ),
        LOOK_AHEAD,
    ),
]

CROSS = [
    m("cross_attention", "dmemory = dk @ w_k.T + dv @ w_v.T", "dmemory = dk @ w_k.T", MISSING_BRANCH),
    m("cross_attention", "dmemory = dk @ w_k.T + dv @ w_v.T", "dmemory = dk @ w_k.T + 2 * dv @ w_v.T", DOUBLED_BRANCH),
    m("cross_attention", "dscores, q) * scale", "dscores, q)", FACTOR, factor="sqrt(d_head)"),
    m("cross_attention", "dscores, k) * scale", "dscores, k) * scale * scale", FACTOR, factor="1/sqrt(d_head)"),
    m("cross_attention", "dscores, q) * scale", "dscores, q) / scale", FACTOR, factor="d_head"),
    m("cross_attention", "(dweights - np.sum(dweights * weights, axis=-1, keepdims=True))", "dweights", SOFTMAX_ROW),
    m(
        "cross_attention",
        '"bhts,bhtd->bhsd", weights, dheads',
        '"bhts,bhsd->bhtd", weights, dheads',
        TRANSPOSED,
        variant="square",
    ),
    m("cross_attention", 'dw_o = np.einsum("bti,btj->ij"', 'dw_o = np.einsum("bti,btj->bij"', TOO_FEW_AXES),
    m("cross_attention", 'dw_q = np.einsum("bti,btj->ij"', 'dw_q = np.einsum("bti,btj->ji"', TRANSPOSED),
    m("cross_attention", '"bti,btj->ij", x, dq)', '"bti,btj->ij", x, dq) / x.shape[1]', FACTOR, factor="1/length"),
    m("cross_attention", '"bsi,bsj->ij", memory, dv', '"bsi,bsj->ij", x, dv', WRONG_VARIABLE, variant="square"),
    m("cross_attention", "dx = dq @ w_q.T", "dx = (dq + dk) @ w_q.T", ONE_TOO_MANY, variant="square"),
    m(
        "cross_attention",
        "dheads = split_heads(dout @ w_o.T, num_heads)",
        "dheads = (dout @ w_o.T).reshape(*x.shape[:2], -1, num_heads).transpose(0, 3, 1, 2)",
        AXES_PERMUTED,
    ),
    m("cross_attention", "dk = merge_heads(dk)", "dk = dk.reshape(memory.shape)", AXES_PERMUTED),
    m("cross_attention", "memory_mask is not None", "memory_mask is None", PADDING),
    several(  # queries and keys from the encoder, values from the decoder; its gradient is right
        "cross_attention",
        (
            ("q = split_heads(x @ w_q", "q = split_heads(memory @ w_q"),
            ("v = split_heads(memory @ w_v", "v = split_heads(x @ w_v"),
            ('"bti,btj->ij", x, dq', '"bti,btj->ij", memory, dq'),
            ('"bsi,bsj->ij", memory, dv', '"bsi,bsj->ij", x, dv'),
            ("dx = dq @ w_q.T", "dx = dv @ w_v.T"),
            ("dmemory = dk @ w_k.T + dv @ w_v.T", "dmemory = dk @ w_k.T + dq @ w_q.T"),
        ),
        LOOK_AHEAD,
        variant="square",
        seen=RZIGA,
    ),
]

FEED_FORWARD = [
    m("feed_forward", "db1 = dh.sum(axis=(0, 1))", "db1 = dh.sum(axis=0)", TOO_FEW_AXES, also=(BIAS_NOT_SUMMED,)),
    m("feed_forward", "db2 = dout.sum(axis=(0, 1))", "db2 = dout", BIAS_NOT_SUMMED, also=(TOO_FEW_AXES,)),
    m("feed_forward", "db2 = dout.sum(axis=(0, 1))", "db2 = dout.mean(axis=(0, 1))", MEAN),
    m(
        "feed_forward",
        "db2 = dout.sum(axis=(0, 1))",
        "db2 = dout.sum(axis=1).mean(axis=0)",
        FACTOR,
        factor="1/batch size",
        also=(MEAN,),
    ),
    m("feed_forward", "db1 = dh.sum(axis=(0, 1))", "db1 = da.sum(axis=(0, 1))", WRONG_VARIABLE, also=(OTHER,)),
    m("feed_forward", "dh = da * (h > 0)", "dh = da", SLOPE_MISSING),  # ReLU's derivative forgotten
    m("feed_forward", "dh = da * (h > 0)", "dh = da * (a >= 0)", AT_OUTPUT, also=(OTHER,)),  # a is never below 0
    m("feed_forward", "dh = da * (h > 0)", "dh = da * (da > 0)", WRONG_VARIABLE),
    m("feed_forward", "dw2 = a.reshape", "dw2 = h.reshape", WRONG_VARIABLE),
    m("feed_forward", "dx = dh @ w1.T", "dx = dh @ w1", TRANSPOSED, variant="square"),
    m(
        "feed_forward",
        "dw1 = x.reshape(-1, d).T @ dh.reshape(-1, f)",
        "dw1 = dh.reshape(-1, f).T @ x.reshape(-1, d)",
        TRANSPOSED,
    ),
    m(
        "feed_forward",
        "dw2 = a.reshape(-1, f).T @ dout.reshape(-1, d)",
        "dw2 = a.reshape(-1, f).T @ dout.reshape(-1, d) / dout.shape[1]",
        FACTOR,
        factor="1/length",
    ),
]

ENCODER = [
    m("encoder_block", "dx = dsum1 + dattended", "dx = dattended", MISSING_RESIDUAL, also=(MISSING_BRANCH,)),
    m("encoder_block", "dh = dsum2 + dfed", "dh = dfed", MISSING_RESIDUAL, also=(MISSING_BRANCH,)),
    m("encoder_block", "dh = dsum2 + dfed", "dh = dsum2", MISSING_BRANCH),
    m("encoder_block", "dx = dsum1 + dattended", "dx = dsum1", MISSING_BRANCH),
    m("encoder_block", "dx = dsum1 + dattended", "dx = dh + dattended", WRONG_VARIABLE),  # not through the norm
    m("encoder_block", "dh = dsum2 + dfed", "dh = dout + dfed", WRONG_VARIABLE),
    m(
        "encoder_block",
        "dx = dsum1 + dattended",
        "dx = dsum1 + dattended + dsum1",
        DOUBLED_BRANCH,
        also=(ONE_TOO_MANY,),
    ),
    m("encoder_block", "layer_norm_backward(dh, norm1_cache)", "layer_norm_backward(dh, norm2_cache)", WRONG_VARIABLE),
    m(
        "encoder_block",
        'dp["w1"], dp["b1"], dp["w2"], dp["b2"] = feed',
        'dp["w1"], dp["b2"], dp["w2"], dp["b1"] = feed',
        SWAPPED,
        variant="square",
    ),
    m(
        "encoder_block",
        "h, norm1_cache = layer_norm_forward(x + attended,",
        "x += attended\n    h, norm1_cache = layer_norm_forward(x,",
        CHANGES_INPUT,
    ),
    m("encoder_block", 'p["w_o"], num_heads, mask', 'p["w_o"], num_heads, None', LOOK_AHEAD),
]

DECODER = [
    m("decoder_block", "dx = dsum1 + dattended", "dx = dattended", MISSING_RESIDUAL, also=(MISSING_BRANCH,)),
    m("decoder_block", "dh1 = dsum2 + dcrossed", "dh1 = dcrossed", MISSING_RESIDUAL, also=(MISSING_BRANCH,)),
    m("decoder_block", "dh2 = dsum3 + dfed", "dh2 = dfed", MISSING_RESIDUAL, also=(MISSING_BRANCH,)),
    m("decoder_block", "dh1 = dsum2 + dcrossed", "dh1 = dsum2", MISSING_BRANCH),
    m("decoder_block", "dh1 = dsum2 + dcrossed", "dh1 = 2 * dsum2 + dcrossed", DOUBLED_BRANCH),
    m(
        "decoder_block",
        "dcrossed, dmemory, *dcross =",
        "dmemory, dcrossed, *dcross =",
        SWAPPED,
        variant="square",
    ),
    m(
        "decoder_block",
        'dp["cross_w_k"], dp["cross_w_v"], dp["cross_w_o"] = dcross',
        'dp["cross_w_v"], dp["cross_w_k"], dp["cross_w_o"] = dcross',
        SWAPPED,
    ),
    several(  # decoder asks the encoder the wrong way round; its gradient is right
        "decoder_block",
        (
            ("cross_attention_forward(h1, memory, ", "cross_attention_forward(memory, h1, "),
            ("dcrossed, dmemory, *dcross =", "dmemory, dcrossed, *dcross ="),
        ),
        LOOK_AHEAD,
        variant="square",
    ),
    m("decoder_block", "num_heads, mask)", "num_heads, memory_mask[:, None, None, :])", LOOK_AHEAD, variant="square"),
    m("decoder_block", "num_heads, memory_mask)", "num_heads, None)", PADDING),
]

CLASSES = [
    m("classes.Linear", 'self.grads["weight"] += rows', 'self.grads["weight"] = rows', OVERWRITTEN),
    m("classes.Linear", 'self.grads["bias"] += drows', 'self.grads["bias"] = drows', OVERWRITTEN),
    m("classes.Linear", "drows.sum(axis=0)", "drows.sum(axis=0) / len(dout)", FACTOR, factor="1/batch size"),
    m("classes.Linear", "drows.sum(axis=0)", "drows.mean(axis=0)", MEAN),
    m("classes.LayerNorm", 'self.grads["gamma"] += (', 'self.grads["gamma"] = (', OVERWRITTEN),
    several(
        "classes.LayerNorm",
        (
            ('dx_hat = dout * self.params["gamma"]', "dx_hat = dout"),
            ("return self.inv_std / d * (", 'return self.params["gamma"] * self.inv_std / d * ('),
        ),
        GAIN_OUTSIDE,
        seen=AKI,
    ),
    m("classes.LayerNorm", "d * dx_hat - sum1 - self.x_hat * sum2", "d * dx_hat - self.x_hat * sum2", MEAN_TERM),
    m("classes.LayerNorm", "d * dx_hat - sum1 - self.x_hat * sum2", "d * dx_hat - sum1", VARIANCE_TERM),
    m("classes.LayerNorm", "self.inv_std / d *", "self.inv_std *", FACTOR, factor="d_model"),
    m(
        "classes.Embedding",
        'self.params["table"][ids]  # (B, T, d)\n\n    def backward(self, dout):\n        np.add.at'
        '(self.grads["table"], self.ids, dout)',
        'self.params["table"][ids]  # (B, T, d)\n\n    def backward(self, dout):\n'
        '        self.grads["table"][self.ids] += dout',
        ASSIGNED,
    ),
    m(
        "classes.Embedding",
        'np.add.at(self.grads["table"], self.ids, dout)',
        'self.grads["table"] = np.zeros_like(self.params["table"])\n'
        '        np.add.at(self.grads["table"], self.ids, dout)',
        OVERWRITTEN,
    ),
    m(
        "classes.Dropout",
        "return dout * self.mask if",
        "self.mask = (self.rng.random(dout.shape) >= self.p) / (1 - self.p)\n        return dout * self.mask if",
        MASK_REDRAWN,
    ),
    several(
        "classes.Dropout",
        (
            (
                "self.mask = (self.rng.random(x.shape) >= self.p) / (1 - self.p)",
                "self.mask = self.rng.random(x.shape) >= self.p",
            ),
            ("return x * self.mask", "return x * self.mask / (1 - self.p)"),
        ),
        NOT_RESCALED,
        factor="keep probability",
        also=(FACTOR,),
    ),
    m("classes.Sublayers", "self.drop2 = Dropout(p, 2)", "self.drop2 = self.drop1", STATE_OVERWRITTEN, seen=AKI),
    m("classes.Sublayers", "dh = dout + dbranch2", "dh = dbranch2", MISSING_RESIDUAL, also=(MISSING_BRANCH,)),
    m(
        "classes.TiedHead",
        'np.add.at(self.grads["table"], self.ids, demb)',
        'self.grads["table"] = np.zeros((V, d))\n        np.add.at(self.grads["table"], self.ids, demb)',
        OVERWRITTEN,
        also=(MISSING_BRANCH,),
    ),
    m(
        "classes.TiedHead",
        '        self.grads["table"] += dout.reshape(-1, V).T @ self.h.reshape(-1, d)\n',
        "",
        MISSING_BRANCH,
    ),
    m("classes.TiedHead", "dh * (1 - self.h**2)", "dh * (1 - np.tanh(self.h) ** 2)", AT_OUTPUT),
]

MISTAKES = [
    *(*SOFTMAX, *CROSS_ENTROPY, *LINEAR, *EMBEDDING, *LAYER_NORM, *GELU, *DROPOUT, *ATTENTION, *MULTI_HEAD, *CROSS),
    *(*FEED_FORWARD, *ENCODER, *DECODER, *CLASSES),
]

# --- mistakes of the forward, or of what has no backward: only a comparison with right results finds them

RESULT = "wrong result"
RESULTS = [
    m("softmax", "total = np.sum(e, axis=-1", "total = np.sum(e, axis=0", RESULT),
    m("cross_entropy", "np.sum(losses * keep) / count", "np.mean(losses * keep)", RESULT),
    m("cross_entropy", "+= 1 - label_smoothing", "= 1 - label_smoothing", RESULT),
    m("layer_norm", "centered**2, axis=-1, keepdims=True)", "centered**2, axis=-1, keepdims=True) * 8 / 7", RESULT),
    m("layer_norm", "np.sqrt(var + eps)", "np.sqrt(var) + eps", RESULT),
    m("gelu", "np.sqrt(2 / np.pi)", "np.sqrt(2) / np.pi", RESULT),
    m("dropout", "rng.random(x.shape) >= p", "rng.random(x.shape) < p", RESULT),
    m("dropout", "return x.copy(), (None, p)", "return x / (1 - p), (None, p)", RESULT, seen=AKI),
    m("attention", "k.swapaxes(-1, -2) / np.sqrt(d_head)", "k.swapaxes(-1, -2) / d_head", RESULT),
    m("attention", "np.tril(", "np.triu(", RESULT),
    several(  # heads cut and joined without moving their axis: no look into the future, and little into the past
        "multi_head_attention",
        (
            (
                "x.reshape(B, T, num_heads, d // num_heads).transpose(0, 2, 1, 3)",
                "x.reshape(B, num_heads, T, d // num_heads)",
            ),
            ("x.transpose(0, 2, 1, 3).reshape(B, T, H * d_head)", "x.reshape(B, T, H * d_head)"),
        ),
        RESULT,
    ),
    m("adamw", "v_hat = v / (1 - beta2**step)", "v_hat = v / (1 - beta1**step)", RESULT, seen=RZIGA),
    m("adamw", "m_hat = m / (1 - beta1**step)", "m_hat = m", RESULT),
    m("adamw", "m_hat = m / (1 - beta1**step)", "m_hat = m / (1 - beta1 ** (step + 1))", RESULT),
    m("adamw", "(np.sqrt(v_hat) + eps)", "np.sqrt(v_hat + eps)", RESULT),
    m("adamw", "lr * weight_decay * parameter", "weight_decay * parameter", RESULT),
    m(
        "adamw",
        "    beta1, beta2 = betas\n",
        "    beta1, beta2 = betas\n    grad = grad + weight_decay * parameter\n",
        RESULT,
    ),
    m("adamw", "m = beta1 * m + (1 - beta1) * grad", "m *= beta1\n    m += (1 - beta1) * grad", RESULT),
    m("greedy_decoding", "np.argmax(logits)", "np.argmax(logits[::-1])", RESULT),
    m("greedy_decoding", "ids = [start_id]", "ids = []", RESULT),
    m("greedy_decoding", "range(max_new_tokens)", "range(max_new_tokens - 1)", RESULT),
    m("greedy_decoding", "        if token == eos_id:\n            break\n", "", RESULT),
    m(
        "greedy_decoding",
        "        ids.append(token)\n        if token == eos_id:\n            break\n",
        "        if token == eos_id:\n            break\n        ids.append(token)\n",
        RESULT,
    ),
]

# --- what to check them with

B, T, S, H, DH, F, V = 2, 5, 7, 3, 6, 10, 11
D = H * DH
CONSTRUCT = {  # a student's layer from its class
    "Linear": lambda cls, rng: cls(D, F, rng),
    "LayerNorm": lambda cls, rng: cls(D),
    "Embedding": lambda cls, rng: cls(V, 6, rng),
    "Dropout": lambda cls, rng: cls(0.3, 4),
    "Sublayers": lambda cls, rng: cls(6, 0.3, rng),
    "TiedHead": lambda cls, rng: cls(V, 6, rng),
}


def inputs(file, rng, variant=""):
    """The arguments of the file's forward. variant: "square" for sizes that coincide and a look-ahead mask alone,
    "large" for large values, "all count" for labels of which none is ignored, "evaluation" for dropout without rng."""
    square = variant == "square"
    s = T if square else S
    x, memory = rng.standard_normal((B, T, D)), rng.standard_normal((B, s, D))
    real = np.arange(s) < np.array([[s - 2], [s]])  # (B, S)  the first memory ends in padding
    own = np.tri(T, dtype=bool) & (np.arange(T) < np.array([[T], [T - 1]]))[:, None, None, :]  # (B, 1, T, T)
    if square:
        own = np.tri(T, dtype=bool)[None, None]

    def matrices(count, *shape):
        return [rng.standard_normal(shape) / shape[0] ** 0.5 for _ in range(count)]

    def gain():
        return rng.uniform(0.5, 1.5, D)

    def feed(f):
        return [*matrices(1, D, f), rng.standard_normal(f), *matrices(1, f, D), rng.standard_normal(D)]

    if file == "softmax":
        return (rng.standard_normal((B, H, T, S)) * (500 if variant == "large" else 1),)
    if file == "cross_entropy":
        logits = rng.standard_normal((B, T, V)) * (500 if variant == "large" else 1)
        labels = rng.integers(1, V, (B, T))
        labels[0, 0], labels[0, 1], labels[1, 2] = 4, labels[0, 2], labels[0, 3]  # some labels come twice
        logits[0, 0, 7] = logits[0, 0, 4]  # a tie with the label
        if variant != "all count":
            labels[0, 4] = labels[1, 3] = labels[1, 4] = -100
        return logits, labels, -100, 0.1
    if file == "linear":
        out = DH if square else F
        return rng.standard_normal((B, T, DH)), *matrices(1, DH, out), rng.standard_normal(out)
    if file == "embedding":
        return np.array([[3, 1, 4, 1, 5], [9, 3, 6, 3, 0]]), rng.standard_normal((V, DH))
    if file == "layer_norm":
        return x, gain(), rng.standard_normal(D), 1e-5
    if file == "gelu":
        return (2 * rng.standard_normal((B, T, DH)),)
    if file == "dropout":
        return rng.standard_normal((B, T, DH)), 0.3, None if variant == "evaluation" else np.random.default_rng(5)
    if file == "attention":
        q = rng.standard_normal((B, H, T, DH)) * (100 if variant == "large" else 1)
        k, v = rng.standard_normal((2, B, H, s, DH)) * (100 if variant == "large" else 1)
        mask = np.tri(T, s, s - T, dtype=bool) & (real | square)[:, None, None, :]
        return q, k, v, mask
    if file == "multi_head_attention":
        return x, *matrices(4, D, D), H, own
    if file == "cross_attention":
        return x, memory, *matrices(4, D, D), H, real
    if file == "feed_forward":
        return x, *feed(D if square else F)
    if file in ("encoder_block", "decoder_block"):
        p = dict(zip(("w_q", "w_k", "w_v", "w_o"), matrices(4, D, D), strict=True))
        p |= dict(zip(("w1", "b1", "w2", "b2"), feed(D if square else F), strict=True))
        for i in (1, 2) if file == "encoder_block" else (1, 2, 3):
            p[f"norm{i}_weight"], p[f"norm{i}_bias"] = gain(), rng.standard_normal(D)
        if file == "encoder_block":
            return x, p, H, own
        p |= dict(zip(("cross_w_q", "cross_w_k", "cross_w_v", "cross_w_o"), matrices(4, D, D), strict=True))
        return x, memory, p, H, own, real
    if file in ("classes.Linear", "classes.LayerNorm"):
        return (x,)
    if file in ("classes.Dropout", "classes.Sublayers"):
        return (rng.standard_normal((B, T, DH)),)
    if file in ("classes.Embedding", "classes.TiedHead"):
        return (inputs("embedding", rng)[0],)
    raise ValueError(f"no inputs for {file}")


# --- the mutated files


def source(mistake):
    """The text of the solution with the mistake in it."""
    text = (HOMEWORK / f"{mistake.file.split('.')[0]}.py").read_text(encoding="utf-8")
    for old, new in mistake.pairs:
        count = text.count(old)
        if count != 1:
            raise ValueError(f"{mistake.file}: {old!r} occurs {count} times")
        text = text.replace(old, new)
    return text


_number = itertools.count()


def load(mistake, folder):
    """Import it from a file of its own in folder, so that inspect.getsource works. A str loads that solution."""
    if isinstance(mistake, str):
        name, text = mistake.split(".")[0], (HOMEWORK / f"{mistake.split('.')[0]}.py").read_text(encoding="utf-8")
    else:
        name, text = mistake.file.split(".")[0], source(mistake)
    path = Path(folder) / f"{name}_{next(_number)}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(HOMEWORK))  # a block imports its layers from there
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(HOMEWORK))
    return module


def functions(module, file):
    """(forward, backward) of a file of functions."""
    return getattr(module, f"{file}_forward"), getattr(module, f"{file}_backward")
