"""Generation: the greedy loop first (greedy.py), then sampling, beam search, and rules for tokens."""

# fmt: off
from .beam_search import beam_search
from .generate import Step, generate, generate_steps
from .greedy import likeliest, write
from .rules import RULES
from .sampling import sampling_probabilities

__all__ = [
    "RULES", "Step", "beam_search", "generate", "generate_steps", "likeliest", "sampling_probabilities", "write",
]
