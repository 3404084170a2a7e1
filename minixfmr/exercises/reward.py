"""The student's functions in the places of the package's: a Transformer that they train. Runs in the child."""

import importlib
from collections.abc import Iterator
from typing import Any

import numpy

from ..models import Config, EncoderDecoder
from ..training import AdamW, CrossEntropy
from .numbers import END, LENGTH, PAD, START, WORDS, batch, english, german, ids_of
from .places import PLACES

CONFIG = dict(
    vocab_size=len(WORDS),
    d_model=32,
    num_heads=4,
    d_ff=64,
    num_encoder_layers=1,
    num_decoder_layers=1,
    max_position_embeddings=LENGTH,
    norm_order="post",
    attention_bias=False,
    key_bias=False,
    padding_gradient=True,
    dropout=0.0,
    dtype="float64",
)
BATCH, HELD_OUT, LR = 48, 100, 5e-3


class Run:
    """One training from the same beginning.

    functions: {name: module of the student's}; the package's stand in for the rest. activation: of the feed-forward
    layers, "gelu_tanh" where the student's gelu takes its place
    """

    def __init__(self, functions: dict[str, Any], activation: str = "relu") -> None:
        self.functions = functions
        self.model = EncoderDecoder(Config(**CONFIG | {"activation": activation}), seed=1)  # type: ignore[arg-type]
        self.optimizer = AdamW(self.model.parameters(), lr=LR, betas=(0.9, 0.98))
        self.criterion: Any = CrossEntropy()
        numbers = numpy.random.default_rng(2).permutation(numpy.arange(1, 1000))
        self.unseen, self.seen = numbers[:HELD_OUT].tolist(), numbers[HELD_OUT:].tolist()
        for name in functions:
            if name in PLACES:
                PLACES[name](self, *self.pair(name))

    def pair(self, name: str) -> tuple[Any, Any]:
        """The student's forward and backward, or their one function twice."""
        module = self.functions[name]
        both = [getattr(module, f"{name}_{way}", None) for way in ("forward", "backward")]
        single = getattr(module, {"adamw": "adamw_step", "greedy_decoding": "greedy_decode"}.get(name, ""), None)
        return (single, single) if single else (both[0], both[1])

    def layers(self, kind: type) -> Iterator[Any]:
        """All layers of the model that are of this kind."""
        found = [self.model]
        for layer in found:
            found += [child for _, child in layer.named_children()]
        return (layer for layer in found if isinstance(layer, kind))

    def losses(self, steps: int, until: int | None = None) -> Iterator[float]:
        """Train, and yield the loss of each step; until: stop after these, of a training of so many steps."""
        rng = numpy.random.default_rng(3)
        for step in range(steps if until is None else until):
            given = batch(rng.choice(self.seen, BATCH).tolist())
            labels = given.pop("labels")
            logits, saved = self._predict(given["input_ids"], given["decoder_input_ids"], rng_of(step))
            loss, saved_loss = self.criterion.forward(logits, labels)
            self.optimizer.zero_grad()
            self.model.backward(self.criterion.backward(saved_loss), saved)
            self.optimizer.lr = LR * min(1.0, (step + 1) / 30) * min(1.0, 2 * (1 - step / steps))
            self.optimizer.step()
            yield float(loss)

    def _predict(self, source, target, rng=None):
        return self.model.forward(source, target, attention_mask=source != PAD, rng=rng)

    def translate(self, number: int) -> str:
        """The German words for a number, by the student's greedy decoding where there is one."""
        source = numpy.array([[*ids_of(english(number)), END]])

        def next_logits(ids):
            return self.model(source, numpy.asarray(ids)[None])[0, -1]

        decode = self.pair("greedy_decoding")[0] if "greedy_decoding" in self.functions else greedy
        ids = decode(next_logits, START, END, LENGTH - 1)
        return " ".join(WORDS[int(i)] for i in ids[1:] if i != END)

    def looks(self, number: int) -> numpy.ndarray:
        """Where each target word looks, the mean over the heads: (T, S), with the package's attention."""
        package = EncoderDecoder(Config(**CONFIG))  # type: ignore[arg-type]
        package.load_state_dict(self.model.state_dict())
        source, target = numpy.array([ids_of(english(number))]), numpy.array([[START, *ids_of(german(number))]])
        _, saved = package.forward(source, target)
        return package.attention_weights(saved)["cross"][0][0].mean(0)[:-1]


def rng_of(step: int) -> numpy.random.Generator:
    """Of dropout, in this step."""
    return numpy.random.default_rng(step)


def greedy(next_logits, start, end, limit):
    """The package's choice, one token at a time."""
    ids = [start]
    while len(ids) <= limit and ids[-1] != end:
        ids.append(int(next_logits(ids).argmax()))
    return ids


def modules(names: list[str]) -> dict[str, Any]:
    """The student's files of these names, imported."""
    return {name: importlib.import_module(name) for name in names}
