"""Published checkpoints: a Hugging Face folder in, a Hugging Face folder out.

Each family has a small file that says how its configuration and its names translate; there is no mathematics in it.
What is read is obeyed, refused in one sentence, or named in a warning. To add a family, copy opt.py.
"""

from .load import FAMILIES, build, load_pretrained, places, save_pretrained
from .sentence import load_sentence_encoder

__all__ = ["FAMILIES", "build", "load_pretrained", "load_sentence_encoder", "places", "save_pretrained"]
