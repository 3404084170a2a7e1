"""CuPy where it can be used, and one sentence on what is missing where it cannot."""

import importlib


class BackendError(RuntimeError):
    """The array backend asked for cannot be used here; the message says what to do."""


def import_cupy():
    """The module cupy, with a GPU that computes. Raises BackendError."""
    stay = 'or stay with use_backend("numpy")'
    extras = 'pip install "minixfmr[cuda12]" or "minixfmr[cuda13]", whichever CUDA nvidia-smi names'
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        if error.name == "cupy":
            raise BackendError(f"the cupy backend needs CuPy, which is not installed: {extras}, {stay}") from error
        raise BackendError(  # its libraries are those of another CUDA, or two CuPys are installed
            f"CuPy is installed but does not import ({_first_line(error)}): is it the one for this machine's CUDA? "
            f"pip uninstall it, then {extras}, {stay}"
        ) from error
    runtime = cupy.cuda.runtime
    try:
        devices, reason = runtime.getDeviceCount(), "none is visible"
    except runtime.CUDARuntimeError as error:
        devices, reason = 0, _first_line(error)
    driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if devices == 0 and driver < needed:
        found = f"the driver supports CUDA {_version(driver)}" if driver else "there is no NVIDIA driver"
        raise BackendError(
            f"the cupy backend finds no GPU that it can use ({reason}): this CuPy needs CUDA {_version(needed)}, "
            f"{found}; update the driver, {stay}"
        )
    if devices == 0:
        raise BackendError(f"the cupy backend finds no CUDA GPU ({reason}): check nvidia-smi, {stay}")
    try:  # a kernel and a matrix product load what CuPy does not load before it is needed
        x = cupy.ones((2, 2), "float32")
        (x @ x + x).get()
    except Exception as error:
        raise BackendError(
            f"CuPy cannot compute on this GPU ({_first_line(error)}): its CUDA libraries are missing or of another "
            f"version; {extras}, {stay}"
        ) from error
    return cupy


def _version(number):
    """12090 → "12.9", as CUDA counts."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _first_line(error):
    lines = [line for line in str(error).splitlines() if line.strip("= ")]
    return lines[0] if lines else type(error).__name__
