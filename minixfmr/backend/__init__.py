"""The machine room: one file knows the array module, the others what each does fast. Read last ("read xp as numpy")."""

# fmt: off
from .blocks import by_rows, head_blocks, row_blocks
from .cores import cores, on_all_cores, one_blas_thread
from .cuda import BackendError
from .memory import fits_in_memory, free_memory, is_shared, keep_freed_memory, lay_out, shared_zeros
from .products import by_columns, heads_apart, heads_product, hidden, pairwise_dot, product
from .random import random_generator, random_keep
from .rows import Kinship, moved_rows
from .special import erf
from .sums import add_at, batch_sum, largest, nonzero_rows, row_dot, row_max, row_mean, row_mean_dot, row_sum, sum_to
from .switch import (
    Array, OutOfMemoryError, backend, backend_name, check_array, number, on_gpu, to_device, to_floats, to_numpy,
    use_backend, xp,
)
from .workers import close_all, new_worker

__all__ = [
    "Array", "BackendError", "Kinship", "OutOfMemoryError", "add_at", "backend", "backend_name", "batch_sum",
    "by_columns", "by_rows", "check_array", "close_all", "cores", "erf", "fits_in_memory", "free_memory",
    "head_blocks", "heads_apart", "heads_product", "hidden", "is_shared", "keep_freed_memory", "largest", "lay_out",
    "moved_rows", "new_worker", "nonzero_rows", "number", "on_all_cores", "on_gpu", "one_blas_thread",
    "pairwise_dot", "product", "random_generator", "random_keep", "row_blocks", "row_dot", "row_max", "row_mean",
    "row_mean_dot", "row_sum", "shared_zeros", "sum_to", "to_device", "to_floats", "to_numpy", "use_backend", "xp",
]
