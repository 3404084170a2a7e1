"""Checkpoints: safetensors for arrays, JSON for the rest. Never pickle.

Nothing that a file says is believed before it is checked, and nothing is assigned before all of it is. A file is
written under a temporary name in the same folder, forced to the disk, and renamed: a crash, a kill or a full disk
leaves the old file whole. A checksum of each tensor, and of what is said about them, tells damage when it is read.
"""

from .disk import CheckpointError, as_path, is_there, read_file, write_file, write_files
from .models import (
    built,
    check_size,
    load,
    load_training,
    load_weights,
    save,
    save_training,
    save_weights,
)
from .tensors import Tensor, open_tensors, packed
from .text import parse_json, read_json

__all__ = [
    "CheckpointError",
    "Tensor",
    "as_path",
    "built",
    "check_size",
    "is_there",
    "load",
    "load_training",
    "load_weights",
    "open_tensors",
    "packed",
    "parse_json",
    "read_file",
    "read_json",
    "save",
    "save_training",
    "save_weights",
    "write_file",
    "write_files",
]
