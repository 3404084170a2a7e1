"""minixfmr: every Transformer forward and backward pass, written by hand in NumPy."""

from .backend import BackendError, OutOfMemoryError, backend, backend_name, to_device, to_numpy, use_backend
from .checkpoint import CheckpointError, load, load_training, save, save_training
from .generation import generate, generate_steps
from .gradcheck import assert_gradients, gradcheck, gradcheck_function
from .models import Config, ConfigError, DecoderOnly, EncoderDecoder, EncoderOnly
from .module import Module, Parameter
from .pretrained import load_pretrained, load_sentence_encoder, save_pretrained
from .trace import Trace, trace
from .training import (
    AdamW,
    CrossEntropy,
    ParallelGradients,
    Trainer,
    TrainingDiverged,
    TranslationData,
    clip_grad_norm,
    evaluate,
)

__version__ = "0.1.0"

__all__ = [
    "AdamW",
    "BackendError",
    "CheckpointError",
    "Config",
    "ConfigError",
    "CrossEntropy",
    "DecoderOnly",
    "EncoderDecoder",
    "EncoderOnly",
    "Module",
    "OutOfMemoryError",
    "ParallelGradients",
    "Parameter",
    "Trace",
    "Trainer",
    "TrainingDiverged",
    "TranslationData",
    "assert_gradients",
    "backend",
    "backend_name",
    "clip_grad_norm",
    "evaluate",
    "generate",
    "generate_steps",
    "gradcheck",
    "gradcheck_function",
    "load",
    "load_pretrained",
    "load_sentence_encoder",
    "load_training",
    "save",
    "save_pretrained",
    "save_training",
    "to_device",
    "to_numpy",
    "trace",
    "use_backend",
]
