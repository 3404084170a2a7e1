"""Is my gradient right, where is it wrong, and what did I do wrong?

    report = gradcheck(layer, x)                                   # a layer with forward and backward
    report = gradcheck_function(norm_forward, norm_backward, x, weight, bias)
    print(report)

    python -m minixfmr.gradcheck homework.py                       # every pair and every layer of a file

Backward is compared with finite differences; then come the properties that those cannot see; then, where a gradient
is wrong, the mistakes that people make are undone one by one until it passes.

check.py: the checks    subject.py, adapter.py: what is checked    differences.py: finite differences
unseen.py: what was not compared
properties.py: what these cannot see    report.py: the outcome    explain.py: why a gradient is wrong, from outside,
with remedies.py and constants.py    repair.py, instrument.py: which line of the source    parts.py: which layer
"""

from .adapter import parameters_of
from .check import assert_gradients, gradcheck, gradcheck_function
from .report import Explanation, GradcheckError, Property, Report, Row

__all__ = [
    "Explanation",
    "GradcheckError",
    "Property",
    "Report",
    "Row",
    "assert_gradients",
    "gradcheck",
    "gradcheck_function",
    "parameters_of",
]
