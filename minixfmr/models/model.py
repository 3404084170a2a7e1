"""What the three architectures have in common."""

from typing import Any, ClassVar

from ..backend import Array
from ..checks.config import check_model
from ..module import Module
from .config import Config


class Model(Module):
    """A whole model. Its forward takes save=False where no backward follows: then no block keeps anything for one, and
    the blocks use the same memory in turn."""

    config: Config
    head: Any
    published: dict[str, Any] | None = None  # the config.json that it came from, if it is a published system
    generation: ClassVar[dict[str, Any]] = {}  # the settings of its generation_config.json
    kept: ClassVar[dict[str, Any]] = {}  # tensors of its file that it has no use for, to be written again
    separate: ClassVar[set[str]] = set()  # tensors of its file that are not tied although they might be
    reads_prompts = False  # whether it continues its input, so that what it writes comes after that

    def __init__(self, owner: str, heads: dict[str, Any], config: Config) -> None:
        """owner: the architecture; heads: {name: class} of those that it can have."""
        check_model(owner, config, heads)
        self.config = config

    def __call__(self, *inputs: Any, **options: Any) -> Array:
        """The output of forward alone."""
        return self.forward(*inputs, save=False, **options)[0]

    def start(self, input_ids: Any, attention_mask: Any = None) -> tuple[Any, Any]:
        """(the ids to go on from, the state that step needs). Raises TypeError for a model that does not write."""
        raise TypeError(f"{type(self).__name__} does not write: generate needs a DecoderOnly or an EncoderDecoder")

    def step(self, ids: Any, state: Any) -> Array:
        """Read the next tokens.  ids: (B, T) → logits (B, V) of the token that follows"""
        raise NotImplementedError
