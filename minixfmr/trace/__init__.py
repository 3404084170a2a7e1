"""One forward and backward pass, told step by step."""

from .tell import Trace, trace

__all__ = ["Trace", "trace"]
