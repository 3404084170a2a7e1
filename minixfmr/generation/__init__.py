"""Generation: the greedy loop first (greedy.py), then sampling, beam search, and rules for tokens."""

# fmt: off
from .beam_search import beam_search
from ..checks.writing import check_rules, check_search
from .generate import generate
from .greedy import likeliest, write
from .variants.rules import RULES
from .variants.steps import Step, generate_steps
from .sampling import sampling_probabilities
from .settings import SEARCH

__all__ = [
    "RULES", "SEARCH", "Step", "beam_search", "check_rules", "check_search", "generate",
    "generate_steps", "likeliest", "sampling_probabilities", "write",
]
