"""What all tests share: hypothesis settings, small models in float64, and the tutorials on the import path."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import minixfmr

sys.path.insert(0, str(Path(__file__).parent.parent / "tutorials"))

settings.register_profile("minixfmr", deadline=None, max_examples=32, derandomize=True)
settings.load_profile("minixfmr")


def small_config(**changes):
    """A Config small enough for finite differences."""
    fields = dict(
        vocab_size=13,
        d_model=8,
        num_heads=2,
        d_ff=12,
        num_encoder_layers=2,
        num_decoder_layers=2,
        max_position_embeddings=12,
        dropout=0.0,
        dtype="float64",
    )
    return minixfmr.Config(**(fields | changes))


def small_batch(config, seed=0, B=3, S=5, T=4):
    """Random ids with right padding on both sides: the arguments of forward, and labels."""
    rng = np.random.default_rng(seed)
    mask, target_mask = np.ones((B, S), int), np.ones((B, T), int)
    for b in range(1, B):
        mask[b, rng.integers(1, S + 1) :] = 0
        target_mask[b, rng.integers(1, T + 1) :] = 0
    return {
        "input_ids": rng.integers(3, config.vocab_size, (B, S)),
        "decoder_input_ids": rng.integers(3, config.target_vocab_size, (B, T)),
        "attention_mask": mask,
        "labels": np.where(target_mask, rng.integers(3, config.target_vocab_size, (B, T)), -100),
    }


CHECKED: list[float] = []  # the largest relative error of each gradient check


def assert_ok(report):
    CHECKED.append(report.max_relative_error)
    assert report.ok, f"\n{report}"


def pytest_terminal_summary(terminalreporter):
    if CHECKED:
        half, most, largest = np.quantile(CHECKED, [0.5, 0.99, 1])
        terminalreporter.write_line(
            f"{len(CHECKED)} gradient checks of random configurations, largest relative error of each: "
            f"median {half:.0e}, 99 % below {most:.0e}, largest {largest:.0e}"
        )


@pytest.fixture
def rng():
    return np.random.default_rng(0)
