"""One forward and backward pass, shown step by step."""

from .tell import Trace, trace

__all__ = ["Trace", "trace"]
