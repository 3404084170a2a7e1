"""What the benchmarks need on a GPU: CUDA's clock, its memory, the peak of its matrix products, and its name.

A side takes a precision there, which is None on a CPU, and gives its run the meter that measures it. "TF32": a
matrix product of float32 reads only 10 bits behind the point of what it multiplies, which tensor cores do faster.
"""

import subprocess
import sys

import numpy as np

import minixfmr
from minixfmr.backend import xp

from . import common

PRECISIONS = ("float32", "TF32")
TORCH_DEVICE = "cuda"
SIZE = 8192  # of the matrices whose product is the peak
MATMUL_FLOPS = 2 * SIZE**3
MB = 2**20


def card(parser):
    """The GPU and what drives it, in words. Where there is none, the program ends: one sentence, exit status 2."""
    try:
        with minixfmr.backend("cupy"):
            import cupy
    except minixfmr.BackendError as error:
        parser.exit(2, f"{error}\n")
    runtime = cupy.cuda.runtime
    found = runtime.getDeviceProperties(cupy.cuda.Device().id)
    cuda = runtime.runtimeGetVersion()
    words = f"{found['name'].decode()} with {found['totalGlobalMem'] / 2**30:.0f} GiB, driver {driver()}"
    return f"{words}; CuPy {cupy.__version__} with CUDA {cuda // 1000}.{cuda % 1000 // 10}, {torch_cuda()}"


def driver():
    """The version of NVIDIA's driver."""
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def torch_cuda():
    """The CUDA that PyTorch brings, which its version does not always tell."""
    try:
        import torch
    except ImportError:
        return "no PyTorch"
    return f"PyTorch {torch.__version__} with CUDA {torch.version.cuda or 'left out'}"


def jax_sees_one():
    """Whether JAX computes on a GPU; asked in a process that ends, since JAX would keep the memory that it takes."""
    question = "import jax, sys; sys.exit(jax.default_backend() != 'gpu')"
    return subprocess.run([sys.executable, "-c", question], capture_output=True).returncode == 0


# --- meters


class Events(common.Meter):
    """Time between two events that the GPU itself notes, as a launch returns before the work is done."""

    def timed(self, run, times):
        began, ended = self.event(), self.event()
        self.synchronize()
        began.record()
        values = [run() for _ in range(times)]
        ended.record()
        ended.synchronize()
        return self.milliseconds(began, ended) / 1000, [float(v) for v in values]


class CuPy(Events):
    """For what runs through CuPy. Whether it uses TF32 was decided by CUPY_TF32 when the process began: see Side."""

    def __init__(self):
        import cupy

        self._cupy, self._pool = cupy, cupy.get_default_memory_pool()

    def event(self):
        return self._cupy.cuda.Event()

    def synchronize(self):
        self._cupy.cuda.Device().synchronize()

    def milliseconds(self, began, ended):
        return self._cupy.cuda.get_elapsed_time(began, ended)

    def memory(self, run):
        """The pool keeps no record of the most that was in use, so one more run, off the clock, is watched."""
        pool = self._pool

        class Watch(self._cupy.cuda.MemoryHook):
            most = 0

            def malloc_postprocess(self, **_):
                self.most = max(self.most, pool.used_bytes())

        with Watch() as watch:
            run()
        most = max(watch.most, pool.used_bytes())
        return super().memory(run) | {"gpu_mb": most / MB, "gpu_held_mb": pool.total_bytes() / MB}


class Torch(Events):
    """For what runs through PyTorch; sets the precision of its matrix products."""

    def __init__(self, precision):
        import torch

        torch.backends.cuda.matmul.allow_tf32 = precision == "TF32"
        self._cuda = torch.cuda

    def event(self):
        return self._cuda.Event(enable_timing=True)

    def synchronize(self):
        self._cuda.synchronize()

    def milliseconds(self, began, ended):
        return began.elapsed_time(ended)

    def memory(self, run):
        most, held = self._cuda.max_memory_allocated(), self._cuda.max_memory_reserved()
        return super().memory(run) | {"gpu_mb": most / MB, "gpu_held_mb": held / MB}


class JAX(common.Meter):
    """For JAX, which hands out no events: the host's clock, stopped when the last value has come back."""

    def __init__(self, precision):
        import jax

        self._device = jax.local_devices()[0]
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if precision == "TF32" else "float32")

    def memory(self, run):
        found = self._device.memory_stats()
        most = found["peak_bytes_in_use"]
        return super().memory(run) | {"gpu_mb": most / MB, "gpu_held_mb": found.get("peak_pool_bytes", most) / MB}


def matmul(precision, size=SIZE):
    """A side: one product of two large matrices, which a card does as fast as it can."""
    minixfmr.use_backend("cupy")
    a = minixfmr.to_device(np.random.default_rng(0).random((size, size), np.float32))  # ones would cost it less power
    out = xp.empty_like(a)

    def run():
        xp.matmul(a, a, out=out)
        return 0.0

    run.meter = CuPy()
    return run
