"""What can happen to a file: to its bytes, to the JSON in it, to the header of its tensors, or to its name."""

import json
import os
import struct

import numpy

ODD = [
    *(None, True, False, 0, -1, 1, 2, 7, 1000, 10**6, 2**31, 2**63, 10**30, -(2**63), 0.5, -0.5, 1e-300, 1e308, -0.0),
    *("", "x", "true", "1", "\ud800", "\x00", "../config.json", "/etc/passwd", "model.safetensors", "ü" * 300),
    *([], {}, [0], [[]], [None], ["x"], {"x": 1}, {"": None}, [1, 2, 3], ["BertModel"], {"rope_type": "yarn"}),
]
TEXTS = [
    *(b"", b"\0", b" ", b"null", b"[]", b"{}", b"3", b'"x"', b"NaN", b"[" * 100_000, b'{"a":' * 50_000, b"{" * 9),
    *(
        b"\xff\xfe{\0}\0",
        b"\xef\xbb\xbf{}",
        b"\xff" * 64,
        b"9" * 5000,
        b"1e999",
        b'{"a": 1, "a": 2}',
        b"\x80\x04K\x01.",
    ),
    *(
        b"PK\x03\x04" + bytes(60),
        b'{"vocab_size": ' + b"9" * 5000 + b"}",
        b'{"model_type": "bert", "vocab_size": 1e400}',
    ),
]
LENGTHS = [0, 1, 7, 2**31, 2**60, 2**63, 2**64 - 1]


def choose(rng, items):
    return items[rng.integers(len(items))]


# --- bytes


def in_bytes(rng, data):
    """(what was done, other bytes)"""
    if not data:
        return "garbage", rng.bytes(int(rng.integers(1, 200)))
    kind = choose(rng, ("flip", "flip", "flips", "cut", "more", "hole", "insert", "remove", "swap", "twice", "whole"))
    i, j = sorted(int(k) for k in rng.integers(0, len(data) + 1, 2))
    if kind in ("flip", "flips"):
        changed = bytearray(data)
        places = rng.integers(0, 8 * len(data), 1 if kind == "flip" else int(rng.integers(2, 9)))
        if rng.random() < 0.5:  # the header is small, and where most can go wrong
            places %= 8 * min(len(data), 400)
        for place in places:
            changed[place // 8] ^= 1 << (place % 8)
        return f"{kind} {places.tolist()}", bytes(changed)
    other = {
        "cut": lambda: data[:i],
        "more": lambda: data + rng.bytes(1 + int(rng.integers(50))),
        "hole": lambda: data[:i] + bytes(j - i) + data[j:],
        "insert": lambda: data[:i] + rng.bytes(1 + int(rng.integers(20))) + data[i:],
        "remove": lambda: data[:i] + data[j:],
        "swap": lambda: data[i:j] + data[:i] + data[j:],
        "twice": lambda: data[:j] + data[i:],
        "whole": lambda: choose(rng, [*TEXTS, rng.bytes(100), rng.bytes(3000)]),
    }[kind]()
    return f"{kind} {i} {j}", other


# --- JSON


def in_json(rng, value, names=("x", "vocab_size", "format")):
    """(what was done, another value). names: of what may be added"""
    value = json.loads(json.dumps(value))
    spots = list(_spots(value))
    if not spots or rng.random() < 0.05:
        odd = choose(rng, ODD)
        return f"all = {odd!r}", odd
    inside, key = choose(rng, spots)
    kind = choose(rng, ("value", "value", "value", "delete", "rename", "nest", "swap", "add", "near"))
    if kind == "delete":
        del inside[key]
    elif kind == "rename" and isinstance(inside, dict):
        inside[choose(rng, ["x", "", key + "x", key.upper(), key[:-1], "vocab_size", "__metadata__"])] = inside.pop(key)
    elif kind == "nest":
        inside[key] = choose(rng, [[inside[key]], {"x": inside[key]}, _deep(inside[key], int(rng.integers(2, 900)))])
    elif kind == "swap":
        other, name = choose(rng, spots)
        inside[key], other[name] = other[name], inside[key]
        if len(json.dumps(value, default=str, check_circular=True)) > 10**6:
            inside[key] = None
    elif kind == "add" and isinstance(inside, dict):
        key = choose(rng, names)
        inside[key] = choose(rng, ODD)
    elif kind == "near" and isinstance(inside[key], int | float):
        inside[key] = inside[key] + choose(rng, [1, -1, 0.5, 10**9, -(10**9), 0.0])
    else:
        inside[key] = choose(rng, ODD)
    return f"{kind} {key!r}", value


def _spots(value, depth=0):
    """(container, key) of every value inside."""
    if depth < 5:
        for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            yield value, key
            yield from _spots(value[key], depth + 1)


def _deep(value, times):
    for n in range(times):
        value = [value] if n % 2 else {"x": value}
    return value


def json_bytes(rng, value):
    """(what was done, the value as text, with the liberties that writers of JSON take)"""
    if rng.random() < 0.9:
        return "", json.dumps(value, indent=rng.choice([None, 2])).encode("utf-8", "surrogatepass")
    text = json.dumps(value)
    kind, other = choose(
        rng,
        [
            ("BOM", "\ufeff" + text),
            ("comma", text[:-1] + ",}"),
            ("comment", "// ours\n" + text),
            ("twice", text[:-1] + ", " + text[1:]),
            ("two values", text + text),
            ("NaN", text.replace("1", "NaN", 1)),
            ("Infinity", text.replace("0", "Infinity", 1)),
            ("1e999", text.replace("1", "1e999", 1)),
            ("quotes", text.replace('"', "'")),
            ("another value", text[:-1] + ', "vocab_size": 3}'),
            ("digits", text.replace("1", "1" * 5000, 1)),
        ],
    )
    encoding = choose(rng, ["utf-8"] * 6 + ["utf-16", "latin-1"])
    return f" {kind} {encoding}", other.encode(encoding, "replace")


# --- tensors


def parts(data):
    """(header, body) of a safetensors file."""
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def together(header, body, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def in_tensors(rng, data):
    """(what was done, another safetensors file)"""
    header, body = parts(data)
    a, b = (choose(rng, [name for name in header if name != "__metadata__"]) for _ in range(2))
    kind = choose(rng, ("length", "swap", "swap", "claim", "claim", "claim", "metadata", "header", "numbers", "text"))
    if kind == "length":
        length = choose(rng, LENGTHS)
        return f"length {length}", together(header, body, length)
    if kind == "text":
        what, text = json_bytes(rng, header)
        return f"header{what}", together(text, body)
    if kind == "numbers":  # of one tensor
        i, j = header[a]["data_offsets"]
        infinite = struct.pack("<f", float("inf")) * (j - i)
        what = choose(rng, [b"\xff" * (j - i), bytes(j - i), rng.bytes(j - i), infinite])
        return f"numbers {a}", together(header, body[:i] + what[: j - i] + body[j:])
    what = f"{a} {b}"
    if kind == "swap":  # as if the two had been written under each other's names
        header[a], header[b] = header[b], header[a]
    elif kind == "claim":
        what = claim(rng, header[a])
    elif kind == "metadata":
        what, header["__metadata__"] = in_json(rng, header.get("__metadata__", {}))
    else:
        what, header = in_json(rng, header)
    return f"{kind} {what}", together(header, body)


def claim(rng, tensor):
    """Change what the header says of a tensor; return what."""
    shape, (i, j) = tensor["shape"], tensor["data_offsets"]
    shapes = [shape[::-1], [*shape, 1], shape[1:], [2**40, 2**40], [0, 2**62], [-1, *shape], [int(numpy.prod(shape))]]
    odd = {
        "dtype": ["I32", "U32", "F16", "BF16", "F64", "F8_E4M3", "BOOL", "C64", "x", None, "I64", "U8"],
        "shape": [*shapes, [float(n) for n in shape], None, [], "x", shape * 40, [2**64]],
        "data_offsets": [[j, i], [0, j - i], [i, j + 4], [i - 4, j - 4], [i, 2**62], [-i, j], [0.0, j], []],
    }
    key = choose(rng, sorted(odd))
    tensor[key] = choose(rng, odd[key])
    if tensor["dtype"] in ("F16", "BF16") and shape:
        tensor["shape"] = [*shape[:-1], shape[-1] * 2]
    return f"{key} = {tensor[key]}"


def flipped_numbers(rng, data):
    """(what was done, the file with one bit of one number flipped)"""
    header, body = parts(data)
    place = int(rng.integers(8 * len(body)))
    changed = bytearray(body)
    changed[place // 8] ^= 1 << (place % 8)
    return f"bit {place} of the numbers", together(header, bytes(changed))


# --- names


def in_place(rng, path):
    """Put something else where a file is; return what was done. The caller removes it."""
    kind = choose(rng, ("gone", "pipe", "folder", "loop", "device", "nowhere", "empty", "link", "full folder"))
    kept = path.read_bytes()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind in ("folder", "full folder"):
        path.mkdir()
        if kind == "full folder":
            (path / "config.json").write_text("{}")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "nowhere":
        path.symlink_to("not there")
    elif kind == "empty":
        path.touch()
    elif kind == "link":  # which is as good as the file
        path.with_name("elsewhere").write_bytes(kept)
        path.symlink_to("elsewhere")
    return kind
