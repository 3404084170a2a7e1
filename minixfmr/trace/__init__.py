"""One forward and backward pass, shown step by step."""

from .tell import Trace, trace
