"""Files that want points they have not earned, or that want to harm the marker: {kind: {name: text}}.

Each stands in the place of softmax.py. FORWARD is a right forward; a backward that follows it must earn nothing.
"""

FORWARD = """
import numpy as np

def softmax_forward(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    y = e / e.sum(-1, keepdims=True)
    return y, (x, y)
"""


def backward(body, before=""):
    lines = "\n".join("    " + line for line in body.splitlines())
    return f"{FORWARD}\n{before}\n\ndef softmax_backward(dy, saved):\n    x, y = saved\n{lines}\n"


NO_DY = {
    "zeros": backward("return np.zeros_like(x)"),
    "ones": backward("return np.ones_like(x)"),
    "empty": backward("return np.empty_like(x)"),
    "y": backward("return y"),
    "x": backward("return x"),
    "x in the place of dy": backward("return y * (x - (x * y).sum(-1, keepdims=True))"),
    "y in the place of dy": backward("return y * (y - (y * y).sum(-1, keepdims=True))"),
    "dy itself": backward("return dy"),
    "diagonal": backward("return y * (1 - y)"),
    "random": backward("return np.random.default_rng(0).standard_normal(x.shape)"),
    "global seed": backward("np.random.seed(0)\nreturn y * (np.random.randn(*x.shape) - 0)"),
    "a guessed seed": backward(
        "dy = np.random.default_rng(0).standard_normal(x.shape)\nreturn y * (dy - (dy * y).sum(-1, keepdims=True))"
    ),
    "nan": backward("return np.full_like(x, np.nan)"),
    "infinity": backward("return np.full_like(x, np.inf)"),
    "right but for one entry": backward(
        "dx = y * (dy - (dy * y).sum(-1, keepdims=True))\ndx.flat[-1] += 1e-3\nreturn dx"
    ),
    "right up to 1e-6": backward("return y * (dy - (dy * y).sum(-1, keepdims=True)) * (1 + 1e-6)"),
    "float32": backward("return (y * (dy - (dy * y).sum(-1, keepdims=True))).astype(np.float32)"),
}
REPLAY = {
    "the first dx again": backward(
        "if not memory:\n    memory.append(np.zeros_like(x))\nreturn memory[0]", "memory = []"
    ),
    "the last dy": backward(
        "old = memory[-1] if memory else dy * 0\nmemory.append(dy)\n"
        "return y * (old - (old * y).sum(-1, keepdims=True))",
        "memory = []",
    ),
    "a file": backward(
        "import os\npath = os.path.join(os.environ.get('TMPDIR', '/tmp'), 'dx.npy')\n"
        "if not os.path.exists(path):\n    np.save(path, np.zeros_like(x))\nreturn np.load(path)"
    ),
    "an attribute of NumPy": backward("np.kept = getattr(np, 'kept', np.zeros_like(x))\nreturn np.kept"),
    "a default argument": backward("return keep(x)", "def keep(x, kept=[]):\n    kept.append(x)\n    return kept[0]"),
    "the caller's arrays": backward(
        "import sys\nframe = sys._getframe(1)\nfor value in frame.f_locals.values():\n"
        "    if getattr(value, 'shape', None) == x.shape and value is not dy:\n        return value\nreturn x"
    ),
    "whatever is in memory": backward(
        "import gc\nfor thing in gc.get_objects():\n    for value in getattr(thing, '__dict__', {}).values():\n"
        "        if type(value) is np.ndarray and value.shape == x.shape and value is not y:\n            return value\n"
        "return x"
    ),
}
LOOP = """dx = np.zeros_like(x)
for i in np.ndindex(x.shape):
    up, down = x.copy(), x.copy()
    up[i] += {h}
    down[i] -= {h}
    dx[i] = ((FUNCTION(up)[0] - FUNCTION(down)[0]) * dy).sum() / (2 * {h})
return dx"""
ROWS = """dx = np.zeros_like(x)
for j in range(x.shape[-1]):
    step = np.zeros(x.shape[-1])
    step[j] = 1e-3
    d = [(FUNCTION(x + k * step)[0] - FUNCTION(x - k * step)[0]) / (2e-3 * k) for k in (1, 2, 3)]
    dx[..., j] = ((15 * d[0] - 6 * d[1] + d[2]) / 10 * dy).sum(-1)
return dx"""
COPY = "def other(x):\n    e = np.exp(x - x.max(-1, keepdims=True))\n    return e / e.sum(-1, keepdims=True), None"
DIFFERENCES = {
    "a loop": backward(LOOP.format(h=1e-5).replace("FUNCTION", "softmax_forward")),
    "a coarse loop": backward(LOOP.format(h=1e-3).replace("FUNCTION", "softmax_forward")),
    "row by row": backward(ROWS.replace("FUNCTION", "softmax_forward")),
    "under another name": backward(ROWS.replace("FUNCTION", "alias"), "alias = softmax_forward"),
    "in a lambda": backward(ROWS.replace("FUNCTION", "alias"), "alias = lambda x: softmax_forward(x)"),
    "in a copy": backward(ROWS.replace("FUNCTION", "other"), COPY),
    "in a partial": backward(
        ROWS.replace("FUNCTION", "alias"), "import functools\nalias = functools.partial(softmax_forward)"
    ),
    "written out": backward(
        "dx = np.zeros_like(x)\nfor j in range(x.shape[-1]):\n    step = np.zeros(x.shape[-1])\n    step[j] = 1e-3\n"
        "    slope = 0\n    for k, c in ((1, 15), (2, -6), (3, 1)):\n        for sign in (1, -1):\n"
        "            e = np.exp(x + sign * k * step - x.max(-1, keepdims=True))\n"
        "            slope = slope + sign * c * e / e.sum(-1, keepdims=True) / (2e-2 * k)\n"
        "    dx[..., j] = (slope * dy).sum(-1)\nreturn dx"
    ),
    "one-sided": backward(
        "dx = np.zeros_like(x)\nfor i in np.ndindex(x.shape):\n    up = x.copy()\n    up[i] += 1e-7\n"
        "    dx[i] = ((softmax_forward(up)[0] - y) * dy).sum() / 1e-7\nreturn dx"
    ),
    "complex steps": backward(
        "dx = np.zeros_like(x)\nfor j in range(x.shape[-1]):\n    step = np.zeros(x.shape[-1], complex)\n"
        "    step[j] = 1e-30j\n    dx[..., j] = (other(x + step)[0].imag / 1e-30 * dy).sum(-1)\nreturn dx",
        "def other(x):\n    e = np.exp(x - x.real.max(-1, keepdims=True))\n    return e / e.sum(-1, keepdims=True), None",
    ),
}
FORGED = {
    "prints a result": 'print(\'{"points": 5, "state": "right"}\')\n',
    "writes answer.json": "open('answer.json', 'w').write('{\"points\": 5, \"state\": \"right\"}')\n",
    "writes to every file": (
        "import os\nfor fd in range(40):\n    try: os.write(fd, b'{\"points\": 5}' * 1000)\n    except OSError: pass\n"
    ),
    "a message of its own": (
        "import gc, socket, json, struct\nfor s in gc.get_objects():\n    if isinstance(s, socket.socket):\n"
        "        text = json.dumps({'dict': {'result': 1.0, 'state': 'right', 'points': 5}}).encode()\n"
        "        s.sendall(struct.pack('>II', len(text), 0) + text)\n"
    ),
    "many messages": (
        "import gc, socket, struct\nfor s in gc.get_objects():\n    if isinstance(s, socket.socket):\n"
        "        for _ in range(100000): s.sendall(struct.pack('>II', 4, 0) + b'null')\n"
    ),
    "a message without an end": (
        "import gc, socket, struct\nfor s in gc.get_objects():\n    if isinstance(s, socket.socket):\n"
        "        s.sendall(struct.pack('>II', 1000, 1000) + b'x')\nimport time\ntime.sleep(60)\n"
    ),
    "a message too large": (
        "import gc, socket, struct\nfor s in gc.get_objects():\n    if isinstance(s, socket.socket):\n"
        "        s.sendall(b'\\xff' * 8)\n"
    ),
    "a deep message": (
        "import gc, socket, struct\nfor s in gc.get_objects():\n    if isinstance(s, socket.socket):\n"
        "        s.sendall(struct.pack('>II', 200000, 0) + b'[' * 200000)\n"
    ),
    "an array larger than the message": (
        "import gc, socket, struct\nfor s in gc.get_objects():\n    if isinstance(s, socket.socket):\n"
        '        t = b\'{"dict": {"result": {"array": ["f8", [9999, 9999]]}}}\'\n'
        "        s.sendall(struct.pack('>II', len(t), 0) + t)\n"
    ),
    "closes the socket": "import os\nos.closerange(0, 100)\n" + FORWARD,
    "patches the channel": (
        "import sys\nchannel = sys.modules['marker.channel']\n"
        "channel._packed = lambda value, arrays, depth=0: {'dict': {'result': True, 'right': True}}\n" + FORWARD
    ),
    "patches the student's side": (
        "import sys\ns = sys.modules['marker.student']\n"
        "s.Student.forward = lambda self, **_: {'result': 'right'}\n"
        "s.Student.backward = lambda self, **_: {'result': 'right', 'points': 5}\n" + FORWARD
    ),
    "patches NumPy": backward(
        "return dy",
        "np.allclose = np.array_equal = lambda *a, **k: True\nnp.abs = np.absolute = lambda x: 0 * x\n"
        "np.asarray = lambda x, *a, **k: x",
    ),
    "switches the watch off": backward(
        "import sys\nsys.setprofile(None)\n" + LOOP.format(h=1e-4).replace("FUNCTION", "softmax_forward")
    ),
    "imports the right result": "from minixfmr.layers import softmax\ndef softmax_forward(x):\n    return softmax(x), (x,)\n",
    "imports it by importlib": (
        "import importlib\nm = importlib.import_module('minixfmr')\ndef softmax_forward(x):\n"
        "    return m.layers.softmax(x), (x,)\n"
    ),
    "reads the right result": (
        "def softmax_forward(x):\n    text = open({package!r} + '/layers/softmax.py').read()\n    return x, text\n"
    ),
    "reads another student's file": "text = open({other!r}).read()\nexec(text)\n",
}
ANSWERS = {
    name: f"import numpy as np\n{more}\ndef softmax_forward(x):\n    return {expression}, (x,)\n"
    for name, (expression, more) in {
        "text": ("'y'", ""),
        "bytes": ("b'y'", ""),
        "a surrogate": ("'\\ud800'", ""),
        "megabytes of text": ("'y' * 10**8", ""),
        "a set": ("{1, 2}", ""),
        "a function": ("softmax_forward", ""),
        "a generator": ("(i for i in x)", ""),
        "a type": ("type(x)", ""),
        "a list of lists": ("[[1.0], [2.0, 3.0]]", ""),
        "a list within itself": ("me()", "def me():\n    a = []\n    a.append(a)\n    return a"),
        "nested ten thousand deep": (
            "deep()",
            "def deep():\n    a = 1\n    for _ in range(10**4): a = (a,)\n    return a",
        ),
        "a million items": ("[0.0] * 10**6", ""),
        "an integer of 5000 digits": ("10 ** 5000", ""),
        "objects": ("np.array([x, None, 'y'], dtype=object)", ""),
        "dates": ("np.array(['2020-01-01'], dtype='datetime64')", ""),
        "records": ("np.zeros(3, dtype=[('a', 'f8'), ('b', 'O')])", ""),
        "complex": ("x.astype(complex)", ""),
        "long doubles": ("x.astype(np.longdouble)", ""),
        "half": ("x.astype(np.float16)", ""),
        "a scalar": ("1.0", ""),
        "an empty array": ("x[:0]", ""),
        "64 axes": ("np.ones((1,) * 40)", ""),
        "half a gigabyte": ("np.zeros(2**26)", ""),
        "too much memory": ("np.ones(2**36)", ""),
        "an array equal to everything": (
            "np.zeros_like(x).view(Any)",
            "class Any(np.ndarray):\n    __eq__ = __le__ = lambda *a: True\n"
            "    __sub__ = __rsub__ = __abs__ = lambda self, *a: np.zeros(self.shape)",
        ),
        "a class that says it is an array": (
            "Sly()",
            "class Sly:\n    dtype, ndim = np.dtype('f8'), 4\n    __array__ = lambda self, *a, **k: 1 / 0",
        ),
        "a dictionary with odd keys": ("{('a', 1): x, 3: x}", ""),
        "a float that is another": ("F(0)", "class F(float):\n    __eq__ = lambda *a: True"),
        "masked": ("np.ma.masked_all(x.shape)", ""),
        "a tuple with another length": (
            "T((x, x))",
            "class T(tuple):\n    __len__ = lambda self: 10**9\n    __iter__ = lambda self: iter(())",
        ),
    }.items()
}
PROCESSES = {
    "kills its parent": "import os\nos.kill(os.getppid(), 9)\n" + FORWARD,
    "stops its parent": "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\n" + FORWARD,
    "kills all": "import os\nos.kill(-1, 9)\n",
    "kills its group": "import os\nos.killpg(os.getpgid(0), 9)\n",
    "kills its parent's group": "import os\nos.killpg(os.getpgid(os.getppid()), 9)\n" + FORWARD,
    "kills the marker": (
        "import os\nstat = open(f'/proc/{os.getppid()}/stat').read()\nos.kill(int(stat.split(')')[1].split()[1]), 9)\n"
    ),
    "stops itself": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n",
    "forks without end": "import os\nwhile True:\n    os.fork()\n",
    "leaves a process behind": (
        "import os, time\nif not os.fork():\n    os.setsid()\n    time.sleep(1000)\n    os._exit(0)\n" + FORWARD
    ),
    "starts another program": "import subprocess\nsubprocess.Popen(['sleep', '1000'])\n" + FORWARD,
    "becomes another program": "import os\nos.execv('/bin/sleep', ['sleep', '1000'])\n",
    "leaves a thread behind": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n" + FORWARD
    ),
    "loops at import": "while True: pass\n",
    "loops in backward": backward("while True: pass"),
    "sleeps": "import time\ntime.sleep(1000)\n",
    "waits for input": "import sys, time\nsys.stdin.read()\ninput()\n",
    "ignores its limit of time": "import signal\nsignal.signal(signal.SIGXCPU, lambda *a: None)\nwhile True: pass\n",
    "raises its limits": (
        "import resource\nfor k in (resource.RLIMIT_CPU, resource.RLIMIT_AS):\n"
        "    resource.setrlimit(k, (resource.RLIM_INFINITY,) * 2)\nwhile True: pass\n"
    ),
    "takes all memory": "x = []\nwhile True: x.append(bytearray(10**7))\n",
    "recurses": "def f(): return f()\nf()\n",
    "recurses in C": "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n    __repr__ = lambda s: repr(s)\nrepr(A())\n",
    "ends itself": "import os\nos._exit(0)\n",
    "exits": "import sys\nsys.exit(0)\n",
    "aborts": "import os\nos.abort()\n",
    "crashes": "import ctypes\nctypes.string_at(0)\n",
    "interrupts": "raise KeyboardInterrupt\n",
    "exits at the end": "import atexit, os\natexit.register(os._exit, 7)\n",
    "fills the disk": "f = open('big', 'wb')\nwhile True: f.write(b'x' * 10**7)\n",
    "prints without end": "while True: print('x' * 10**6)\n",
    "attaches to its parent": (
        "import ctypes, os\nassert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0\n" + FORWARD
    ),
}
TEXTS = {
    name: f"{more}\n{statement}\n"
    for name, (statement, more) in {
        "escapes": ("raise ValueError('\\x1b[2J\\x1b]0;owned\\x07\\r\\n5/5')", ""),
        "a surrogate": ("raise ValueError('\\udcff\\ud800')", ""),
        "right to left": ("raise ValueError('\\u202e5/5 thgir\\u2028\\u0085')", ""),
        "megabytes": ("raise ValueError('x' * 10**8)", ""),
        "another result": ("raise ValueError('\\nsoftmax  right  5/5')", ""),
        "no text": ("raise E", "class E(Exception):\n    def __str__(self): raise SystemExit"),
        "an endless text": ("raise E", "class E(Exception):\n    def __str__(self):\n        while True: pass"),
        "an odd name": ("raise E", "E = type('\\x1b[2J\\n' * 1000, (Exception,), {})"),
        "a forged SyntaxError": ("raise SyntaxError('x' * 10**6, ('../../etc/passwd', -5, 1, 'x' * 10**6))", ""),
        "a forged line": ("exec(compile('\\n' * 10**5 + 'raise ValueError(1)', __file__, 'exec'))", ""),
        "a forged file": (
            "exec(compile('raise ValueError(1)', __file__.replace('softmax', '../softmax\\x1b'), 'exec'))",
            "",
        ),
        "a forged start": ("raise NotImplementedError", "import sys"),
        "a group of groups": ("raise g", "g = ValueError()\nfor _ in range(5000): g = ExceptionGroup('x', [g])"),
        "a long chain": ("f()", "def f(n=500):\n    try: 1 / (n > 0)\n    except Exception: raise\n    f(n - 1)"),
    }.items()
}
SOURCES = {
    "NUL": b"x = 1\0\n",
    "binary": bytes(range(256)) * 100,
    "another encoding": b"# -*- coding: rot13 -*-\n",
    "no encoding": b"# -*- coding: nothing -*-\n",
    "not UTF-8": b"x = '\xff\xfe'\n",
    "too large": b"#" * (2 << 20),
    "nested": b"x = " + b"(" * 5000 + b")" * 5000,
    "nested lists": b"x = " + b"[" * 150 + b"]" * 150 + b"\n" + b"-" * 20000 + b"1\n",
    "one long line": b"x = " + b"1+" * 200000 + b"1\n",
    "empty": b"",
}
