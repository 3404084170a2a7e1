"""Files that are right, in ways that nobody would write in a book: {name: (exercise, text)}."""

SOFTMAX = """import numpy as np

def softmax_forward(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    return y, (y,)

def softmax_backward(dy, saved):
    (y,) = saved
    return y * (dy - (dy * y).sum(-1, keepdims=True))
"""
FILES = {
    "prints": ("softmax", "print('hello ' * 1000)\n" + SOFTMAX.replace("    (y,)", "    print(dy, saved)\n    (y,)")),
    "odd prints": ("softmax", "print('\\x1b[31m', '\\ud800'.encode('utf-8', 'surrogatepass'))\n" + SOFTMAX),
    "other words": ("softmax", SOFTMAX.replace("dy", "dout").replace("saved", "cache")),
    "odd names": ("softmax", SOFTMAX.replace("x", "ξ").replace("maξ", "max").replace("eξp", "exp")),
    "a global for the last y": (
        "softmax",
        SOFTMAX.replace("    return y, (y,)", "    global last\n    last = y\n    return y, None").replace(
            "    (y,) = saved", "    y = last"
        ),
    ),
    "a counter": ("softmax", "n = 0\n" + SOFTMAX.replace("    (y,)", "    global n\n    n += 1\n    (y,)")),
    "carriage returns": ("softmax", SOFTMAX.replace("\n", "\r\n")),
    "a byte order mark": ("softmax", b"\xef\xbb\xbf" + SOFTMAX.encode()),
    "another encoding": ("softmax", b"# -*- coding: latin-1 -*-\n# \xe9\n" + SOFTMAX.encode()),
    "tabs": ("softmax", SOFTMAX.replace("    ", "\t")),
    "a main part": ("softmax", SOFTMAX + "\nif __name__ == '__main__':\n    raise SystemExit(1)\n"),
    "saved is the result": ("softmax", SOFTMAX.replace("(y,)\n\n", "y\n\n").replace("(y,) = saved", "y = saved")),
    "saved is a dictionary": (
        "softmax",
        SOFTMAX.replace("(y,)\n\n", "{'y': y}\n\n").replace("(y,) = saved", "y = saved['y']"),
    ),
    "saved is a function": (
        "softmax",
        SOFTMAX.replace("(y,)\n\n", "lambda: y\n\n").replace("(y,) = saved", "y = saved()"),
    ),
    "backward computes y again": (
        "softmax",
        SOFTMAX.replace("(y,)\n\n", "x\n\n").replace("(y,) = saved", "y, _ = softmax_forward(saved)"),
    ),
    "slow loops": (
        "softmax",
        "import math\nimport numpy as np\n\ndef softmax_forward(x):\n    y = np.zeros_like(x)\n"
        "    for i in np.ndindex(x.shape[:-1]):\n        top = max(x[i])\n        total = 0.0\n"
        "        for j in range(x.shape[-1]):\n            total = total + math.exp(x[i][j] - top)\n"
        "        for j in range(x.shape[-1]):\n            y[i + (j,)] = math.exp(x[i][j] - top) / total\n"
        "    return y, y\n\ndef softmax_backward(dy, y):\n    dx = np.zeros_like(y)\n"
        "    for i in np.ndindex(y.shape[:-1]):\n        for j in range(y.shape[-1]):\n"
        "            for k in range(y.shape[-1]):\n"
        "                dx[i + (j,)] += dy[i][k] * y[i][k] * ((j == k) - y[i][j])\n    return dx\n",
    ),
    "Jacobian matrices": (
        "softmax",
        SOFTMAX[: SOFTMAX.index("    return y * (dy")]
        + "    J = np.apply_along_axis(lambda r: np.diag(r) - np.outer(r, r), -1, y)\n"
        "    return np.einsum('...i,...ij->...j', dy, J)\n",
    ),
    "classes with __call__": (
        "softmax",
        SOFTMAX.replace("softmax_forward", "_f").replace("softmax_backward", "_b")
        + "class Call:\n    def __init__(self, f): self.f = f\n    def __call__(self, *a): return self.f(*a)\n"
        "softmax_forward, softmax_backward = Call(_f), Call(_b)\n",
    ),
    "decorated": (
        "softmax",
        "import functools, time\ndef timed(f):\n    @functools.wraps(f)\n    def g(*a):\n        t = time.time()\n"
        "        r = f(*a)\n        print(time.time() - t)\n        return r\n    return g\n"
        + SOFTMAX.replace("def ", "@timed\ndef "),
    ),
    "partial": ("softmax", SOFTMAX + "import functools\nsoftmax_forward = functools.partial(softmax_forward)\n"),
    "annotated, with more arguments": (
        "softmax",
        "from __future__ import annotations\n"
        + SOFTMAX.replace("(x)", "(x: np.ndarray, axis: int = -1) -> tuple[Missing, ...]", 1),
    ),
    "a gradient in a tuple": (
        "softmax",
        SOFTMAX.replace("(dy * y).sum(-1, keepdims=True))", "(dy * y).sum(-1, keepdims=True)),"),
    ),
    "Fortran's order": ("softmax", SOFTMAX.replace("    return y, (y,)", "    return np.asfortranarray(y), (y,)")),
    "NumPy set to raise": ("softmax", "import numpy\nnumpy.seterr(over='raise', invalid='raise')\n" + SOFTMAX),
    "warnings as errors": ("softmax", "import warnings\nwarnings.simplefilter('error')\n" + SOFTMAX),
    "a module of its own": ("softmax", SOFTMAX + "import sys\nsys.path.append('nowhere')\nsys.argv = []\n"),
    "changes the folder": ("softmax", "import os, tempfile\nos.chdir(tempfile.mkdtemp())\n" + SOFTMAX),
    "writes a log": ("softmax", "import logging\nlogging.basicConfig(filename='log.txt')\n" + SOFTMAX),
    "seeds": ("softmax", "import numpy as np, random\nnp.random.seed(0)\nrandom.seed(0)\n" + SOFTMAX),
    "the standard library": (
        "softmax",
        "import decimal, sqlite3, ssl, xml.etree.ElementTree, unittest, asyncio, doctest\n" + SOFTMAX,
    ),
    "NumPy's parts": ("softmax", "import numpy.testing, numpy.fft, numpy.polynomial, numpy.ma\n" + SOFTMAX),
    "a list of ids from NumPy": (
        "greedy_decoding",
        "import numpy as np\ndef greedy_decode(next_logits, start_id, eos_id, max_new_tokens):\n    ids = [start_id]\n"
        "    while len(ids) <= max_new_tokens:\n        ids.append(np.argmax(next_logits(np.array(ids))))\n"
        "        if ids[-1] == eos_id: break\n    return ids\n",
    ),
    "gradients in a list": (
        "linear",
        "def linear_forward(x, w, b):\n    return x @ w + b, [x, w]\ndef linear_backward(d, c):\n    x, w = c\n"
        "    return [d @ w.T, x.reshape(-1, len(w)).T @ d.reshape(-1, w.shape[1]), d.reshape(-1, w.shape[1]).sum(0)]\n",
    ),
}
