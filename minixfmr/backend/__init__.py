"""The machine room: one file knows the array module, the others what each does fast. Read last ("read xp as numpy")."""

from .blocks import row_blocks
from .cores import cores, on_all_cores, one_blas_thread
from .cuda import BackendError
from .memory import column_major, fits_in_memory, is_shared, keep_freed_memory, shared_zeros
from .random import random_generator, random_keep
from .special import erf
from .sums import add_at, batch_sum, column_max, column_sum, nonzero_rows, product, row_dot, row_mean, row_sum
from .switch import (
    Array,
    OutOfMemoryError,
    backend,
    backend_name,
    check_array,
    number,
    on_gpu,
    to_device,
    to_floats,
    to_numpy,
    use_backend,
    xp,
)

__all__ = [
    "Array",
    "BackendError",
    "OutOfMemoryError",
    "add_at",
    "backend",
    "backend_name",
    "batch_sum",
    "check_array",
    "column_major",
    "column_max",
    "column_sum",
    "cores",
    "erf",
    "fits_in_memory",
    "is_shared",
    "keep_freed_memory",
    "nonzero_rows",
    "number",
    "on_all_cores",
    "on_gpu",
    "one_blas_thread",
    "product",
    "random_generator",
    "random_keep",
    "row_blocks",
    "row_dot",
    "row_mean",
    "row_sum",
    "shared_zeros",
    "to_device",
    "to_floats",
    "to_numpy",
    "use_backend",
    "xp",
]
