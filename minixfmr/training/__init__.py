"""Training: losses, optimizers, schedules, batches and the loop."""

from .data import TranslationData, pad, token_batches
from .loop import Progress, StepResult, Trainer, TrainingDiverged, evaluate
from .losses import CrossEntropy, cross_entropy, cross_entropy_backward
from .optimizers import AdamW, adamw_update, clip_grad_norm
from .parallel import ParallelGradients
from .schedules import constant, cosine, inverse_sqrt, noam

__all__ = [
    "AdamW",
    "CrossEntropy",
    "ParallelGradients",
    "Progress",
    "StepResult",
    "Trainer",
    "TrainingDiverged",
    "TranslationData",
    "adamw_update",
    "clip_grad_norm",
    "constant",
    "cosine",
    "cross_entropy",
    "cross_entropy_backward",
    "evaluate",
    "inverse_sqrt",
    "noam",
    "pad",
    "token_batches",
]
