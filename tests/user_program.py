"""A user's first program, in ten lines: it runs as a test, and mypy --strict accepts it."""

import numpy as np

import minixfmr


def main() -> float:
    config = minixfmr.Config(
        vocab_size=20, d_model=16, num_heads=2, d_ff=32, num_encoder_layers=1, num_decoder_layers=1
    )
    model = minixfmr.EncoderDecoder(config, seed=1)
    pairs = [[3, 4, 5], [6, 7], [8, 9, 10, 11]]
    data = minixfmr.TranslationData(pairs, pairs, config, max_tokens=64, seed=0)
    optimizer = minixfmr.AdamW(model.parameters(), lr=3e-3)
    trainer = minixfmr.Trainer(model, optimizer, lambda step: 3e-3, data)
    losses = [result.loss for result in trainer.run(epochs=80)]
    ids: np.ndarray = minixfmr.generate(model, np.array([[3, 4, 5, 2]]), max_new_tokens=5)
    print(ids.tolist(), minixfmr.evaluate(model, data), model.num_parameters())
    return losses[-1]


if __name__ == "__main__":
    assert main() < 0.5
