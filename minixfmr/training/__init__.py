"""Training: losses, optimizers, schedules, batches and the loop."""

# fmt: off
from ..backend.workers import WorkerError
from ..checks.learning import TrainingDiverged
from .data import TranslationData, pad, token_batches
from .loop import StepResult, Trainer, count_steps, evaluate
from .losses import CrossEntropy, cross_entropy, cross_entropy_backward
from .objectives import next_token, shift_right
from .optimizers import AdamW, adamw_update, clip_grad_norm
from .parallel import ParallelGradients
from .schedules import constant, cosine, inverse_sqrt, noam
from .variants.objectives import (
    gap_sentences, masked_lm, prefix_lm, rouge_1, sentence_permutation, span_corruption, text_infilling,
    token_deletion,
)
from .variants.resuming import Progress

__all__ = [
    "AdamW", "CrossEntropy", "ParallelGradients", "Progress", "StepResult", "Trainer", "TrainingDiverged",
    "TranslationData", "WorkerError", "adamw_update", "clip_grad_norm", "constant", "cosine", "count_steps",
    "cross_entropy", "cross_entropy_backward", "evaluate", "gap_sentences", "inverse_sqrt", "masked_lm",
    "next_token", "noam", "pad", "prefix_lm", "rouge_1", "sentence_permutation", "shift_right",
    "span_corruption", "text_infilling", "token_batches", "token_deletion",
]
