"""Random damage to valid files. Every mutation takes and returns bytes and says what it did."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

Mutation = Callable[[random.Random, bytes], tuple[bytes, str]]

HOSTILE_NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, -0.0, 0.5, 1e-320, 1e30, -1e308, 10**7, 10**9, 10**30, 2**31, 2**63, 2**64),
    *(float("nan"), float("inf"), float("-inf"), True, False),
)
HOSTILE_TEXTS = (
    *("", " ", "a", "ab", "nan", "None", "0", "-1", "1e999", "a" * 20_000, "\x00", "\x1b[31mred"),
    *("evilmod:Net", "this:Zen", "os:system", "evilmod.Net", "builtins:exec", "../../etc/passwd"),
    *(
        "/etc/passwd",
        "/dev/zero",
        "=HYPERLINK(1)",
        "<script>alert(1)</script>",
        "\u202eabc",
        "%s%n",
    ),
)


def hostile(rng: random.Random) -> Any:
    """A JSON value that nobody expects."""
    draw = rng.random()
    if draw < 0.45:
        return rng.choice(HOSTILE_NUMBERS)
    if draw < 0.75:
        return rng.choice(HOSTILE_TEXTS)
    if draw < 0.8:
        return None
    if draw < 0.9:
        return [rng.choice(HOSTILE_NUMBERS) for _ in range(rng.choice((0, 1, 2, 3, 1000)))]
    if draw < 0.95:
        return {rng.choice(HOSTILE_TEXTS): rng.choice(HOSTILE_NUMBERS)}
    return nested(rng.choice((3, 50, 900)))


def nested(depth: int) -> Any:
    """Lists within lists."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


# ---- bytes of any file ----


def flipped(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """One bit is another."""
    if not content:
        return b"\x00", "a byte in an empty file"
    place, bit = rng.randrange(len(content)), rng.randrange(8)
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed), f"bit {bit} of byte {place} flipped"


def truncated(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """The end is missing."""
    size = rng.choice((0, 1, len(content) - 1, rng.randrange(len(content) + 1)))
    return content[: max(0, size)], f"truncated to {max(0, size)} of {len(content)} bytes"


def cut(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A piece of the middle is missing."""
    one, two = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:one] + content[two:], f"bytes {one} to {two} cut out"


def repeated(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A piece stands twice."""
    one, two = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:two] + content[one:], f"bytes {one} to {two} repeated"


def exchanged(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """Two pieces stand in each other's place."""
    a, b, c = sorted(rng.randrange(len(content) + 1) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[
        c:
    ], f"pieces at {a}, {b}, {c} swapped"


def overwritten(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """Zeros, ones or noise in the middle, as a failing disk leaves them."""
    size = min(len(content), rng.choice((1, 4, 16, 512)))
    place = rng.randrange(len(content) - size + 1)
    filler = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
    return content[:place] + filler + content[
        place + size :
    ], f"{size} bytes at {place} overwritten"


def extended(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """Something stands behind the end."""
    tail = rng.choice((b"\x00", b"\n", b"}", b"garbage", rng.randbytes(100), content))
    return content + tail, f"{len(tail)} bytes appended"


def recoded(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """Text in another encoding or with other line ends."""
    text = content.decode("latin-1")
    how = rng.choice(("utf-16", "utf-8-sig", "crlf", "cr", "latin"))
    if how == "crlf":
        return content.replace(b"\n", b"\r\n"), how
    if how == "cr":
        return content.replace(b"\n", b"\r"), how
    if how == "latin":
        return b"\xe9\xff" + content, how
    return text.encode(how), how


BYTES: tuple[Mutation, ...] = (
    *(flipped, flipped, flipped, truncated, cut, repeated, exchanged, overwritten, extended),
    recoded,
)


# ---- JSON, and files of JSON lines ----


def json_text(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """One entry of a JSON document is changed, removed, added or moved."""
    try:
        value = json.loads(content)
    except ValueError:
        return flipped(rng, content)
    draw = rng.random()
    if draw < 0.03:
        depth = rng.choice((1_000, 20_000, 200_000))
        return b"[" * depth + b"]" * depth, f"nested {depth} deep"
    if draw < 0.06:
        return json.dumps(hostile(rng)).encode(), "replaced as a whole"
    value, what = changed_entry(rng, value)
    if what == "deep":
        text = json.dumps(value).replace('"@deep@"', "[" * 5000 + "]" * 5000)
        return text.encode(), "an entry nested 5000 deep"
    return json.dumps(value).encode(), what


def changed_entry(rng: random.Random, value: Any) -> tuple[Any, str]:
    """``value`` with one of its entries, at any depth, changed; and how."""
    places = list(_places(value))
    if not places:
        return hostile(rng), "replaced as a whole"
    holder, key = rng.choice(places)
    old = holder[key]
    how = rng.choice(("hostile", "hostile", "near", "remove", "rename", "swap", "type", "deep"))
    if how == "near" and isinstance(old, (int, float)) and not isinstance(old, bool):
        new = rng.choice((old + 1, old - 1, -old, old * 2, old * 1.0000001, old / 3, old * 10))
        holder[key] = new
        return value, f"{key!r}: {old!r} -> {new!r}"
    if how == "remove":
        del holder[key]
        return value, f"{key!r} removed"
    if how == "rename" and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
        return value, f"{key!r} renamed"
    if how == "swap":
        other, name = rng.choice(places)
        if _reaches(holder[key], other) or _reaches(other[name], holder):
            return value, "nothing (an entry and its own part)"
        holder[key], other[name] = other[name], holder[key]
        return value, f"{key!r} and {name!r} swapped"
    if how == "type":
        holder[key] = str(old) if not isinstance(old, str) else [old]
        return value, f"{key!r} is of another type"
    if how == "deep":
        holder[key] = "@deep@"
        return value, "deep"
    holder[key] = hostile(rng)
    return value, f"{key!r}: {str(old)[:40]!r} -> {str(holder[key])[:60]!r}"


def _reaches(value: Any, part: Any) -> bool:
    """Whether ``part`` lies within ``value``: swapped, they would make a circle."""
    if value is part:
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_reaches(entry, part) for entry in inner)


def _places(value: Any) -> Any:
    """Every (container, key) of a JSON value."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield value, key
            yield from _places(entry)
    elif isinstance(value, list):
        for key, entry in enumerate(value[:50]):
            yield value, key
            yield from _places(entry)


def json_lines(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A line is changed as JSON, removed, doubled, torn or moved."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return flipped(rng, content)
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    how = rng.choice(("entry", "entry", "entry", "drop", "double", "swap", "tear", "join"))
    if how == "entry":
        line, what = json_text(rng, lines[i])
        lines[i] = line + b"\n"
        return b"".join(lines), f"line {i + 1}: {what}"
    if how == "drop":
        del lines[i]
    elif how == "double":
        lines.insert(j, lines[i])
    elif how == "swap":
        lines[i], lines[j] = lines[j], lines[i]
    elif how == "tear":
        lines[i] = lines[i][: rng.randrange(len(lines[i]))]
    else:
        lines[i] = lines[i].rstrip(b"\n")
    return b"".join(lines), f"line {i + 1}: {how}"


# ---- arrays ----


def safetensors(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """The header of a safetensors file is changed as JSON; the numbers stay, or are hostile."""
    if len(content) < 8:
        return flipped(rng, content)
    size = struct.unpack("<Q", content[:8])[0]
    header, data = content[8 : 8 + size], content[8 + size :]
    draw = rng.random()
    if draw < 0.15:
        size = rng.choice((0, 1, size - 1, size + 1, 2**40, 2**63, 100_000_000))
        return struct.pack("<Q", size) + header + data, f"header of {size} bytes promised"
    if draw < 0.3 and len(data) >= 4:
        place = 4 * rng.randrange(len(data) // 4)
        number = struct.pack("<f", rng.choice((float("nan"), float("inf"), 0.0, 1e30, -1.0)))
        return content[: 8 + size] + data[:place] + number + data[place + 4 :], f"number at {place}"
    header, what = json_text(rng, header)
    return struct.pack("<Q", len(header)) + header + data, f"header: {what}"


def npy(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """The header of a .npy file promises something else, or the numbers are hostile."""
    match = re.search(rb"\{.*?\}", content[:512])
    if match is None:
        return flipped(rng, content)
    draw, header = rng.random(), match[0]
    if draw < 0.5:
        old, new = rng.choice(
            (
                (
                    rb"'<f8'",
                    rng.choice((b"'<f4'", b"'>f8'", b"'|O'", b"'<i8'", b"'<c16'", b"'<U2'")),
                ),
                (
                    rb"'<f8'",
                    rng.choice((b"'|b1'", b"'<M8[s]'", b"'|V8'", b"'<f2'", b"[('a','<f8')]")),
                ),
                (rb"False", b"True"),
                (rb"\(\d+", rng.choice((b"(0", b"(-1", b"(99999999999", b"((1", b"('a'", b"(1e9"))),
                (rb"\(\d+, \d+", rng.choice((b"(2, 2, 2, 2, 2", b"(1", b"(0, 0", b"(4, 10**3"))),
                (rb"'shape'", b"'shap'"),
                (rb"\{", b"{" * rng.choice((2, 50, 200))),
            )
        )
        changed = re.sub(old, new, header, count=1)
        return content.replace(header, changed, 1), f"header {changed[:60]!r}"
    if draw < 0.8 and len(content) > match.end() + 16:
        first = match.end() + 8
        place = first + rng.randrange(len(content) - first - 8)
        number = rng.choice((float("nan"), float("inf"), -float("inf"), 1e308, 1e-308, 1e30, 0.0))
        body = bytearray(content)
        start = len(content) - 8 * ((len(content) - place) // 8)
        body[start : start + 8] = struct.pack("<d", number)
        return bytes(body), f"{number} among the numbers"
    return rng.choice(BYTES)(rng, content)


# ---- tables ----

CELLS = (
    *("", " ", "nan", "inf", "-inf", "1e999", "1e308", "-1e308", "1e-320", "NA", "?", "abc", "1,5"),
    *('"', '"1', '""', "'1'", "0x10", "1_000", "١٢", "1e5000000", "9" * 400, "9" * 10_000, "\x00"),
    *("=1+1", "@x", "\x1b[2J", "1;2", "1\t2", "TRUE", "2020-01-01", "½", "\u202e1", "+", "-", "."),
)


def delimited(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A cell, a row, the header or the delimiter of a text table is another."""
    lines = content.decode("latin-1").splitlines()
    if not lines:
        return flipped(rng, content)
    i = rng.randrange(len(lines))
    cells = lines[i].split(",")
    j = rng.randrange(len(cells))
    how = rng.choice(("cell", "cell", "cell", "cell", "add", "drop", "row", "delimiter", "name"))
    if how == "cell":
        cells[j] = rng.choice(CELLS)
    elif how == "add":
        cells.insert(j, rng.choice(CELLS))
    elif how == "drop":
        del cells[j]
    elif how == "row":
        lines = rng.choice((lines[:1], lines[1:], lines[:2], lines[:0], lines * 3, lines[:1] * 5))
        return "\n".join(lines).encode("latin-1"), f"{len(lines)} rows of another choice"
    elif how == "delimiter":
        mark = rng.choice((";", "\t", "|", " ", ", ", ",,", ",\x00"))
        return "\n".join(lines).replace(",", mark).encode("latin-1"), f"separated by {mark!r}"
    else:
        i, cells = 0, lines[0].split(",")
        cells[j % len(cells)] = rng.choice((*HOSTILE_TEXTS, cells[0]))
    lines[i] = ",".join(cells)
    return "\n".join(lines).encode(errors="replace"), f"line {i + 1}: {how} {lines[i][:60]!r}"


def parquet(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A Parquet table with columns of another type, none, or very many."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content), use_threads=False)
    rows = table.num_rows
    kinds: dict[str, Any] = {
        "text": pa.array(["a"] * rows),
        "null": pa.array([None] * rows, pa.float64()),
        "nan": pa.array([float("nan")] * rows),
        "list": pa.array([[1.0, 2.0]] * rows),
        "struct": pa.array([{"a": 1}] * rows),
        "time": pa.array([0] * rows, pa.timestamp("ns")),
        "bytes": pa.array([b"\xff"] * rows),
        "words": pa.array(["a"] * rows).dictionary_encode(),
        "half": pa.array([1.0] * rows).cast(pa.float16()),
        "large": pa.array([2**63] * rows, pa.uint64()),
        "huge": pa.array([1e308 * (-1) ** i for i in range(rows)]),
        "truth": pa.array([True, False] * (rows // 2) + [True] * (rows % 2)),
        "nothing": pa.nulls(rows),
    }
    how = rng.choice((*kinds, "empty", "no columns", "wide", "name", "same name"))
    if how in kinds:
        place = rng.randrange(table.num_columns)
        table = table.set_column(place, table.column_names[place], kinds[how])
    elif how == "empty":
        table = table.slice(0, 0)
    elif how == "no columns":
        table = table.select([])
    elif how == "wide":
        table = pa.table({f"c{i}": [0.0, 1.0, 2.5, 3.0, 4.5] for i in range(3000)})
    elif how == "name":
        names = [rng.choice((*HOSTILE_TEXTS, "__index_level_0__")) for _ in table.column_names]
        table = table.rename_columns(names)
    else:
        table = table.rename_columns(["a"] * table.num_columns)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue(), how


# ---- pictures and archives ----


def picture(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A picture of another mode, size or format, or one whose header promises another size."""
    from PIL import Image

    how = rng.choice(("mode", "mode", "size", "format", "promise", "text"))
    image = Image.open(io.BytesIO(content))
    kind = "png"
    if how == "mode":
        mode = rng.choice(("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"))
        image = image.convert("L").convert(mode) if mode != "I;16" else image.convert("I;16")
        how = f"mode {mode}"
    elif how == "size":
        size = rng.choice(((1, 1), (1, 8), (8, 7), (3000, 2), (64, 64), (2, 2)))
        image = image.convert("L").resize(size)
        how = f"size {size}"
    elif how == "format":
        kind = rng.choice(("jpeg", "gif", "bmp", "tiff", "webp", "ppm"))
        how = f"in truth a {kind}"
    elif how == "promise":
        side = rng.choice((0, 1, 9, 60_000, 2**31 - 1))
        return content[:16] + struct.pack(">II", side, side) + content[24:], f"side {side} promised"
    else:
        return b"this is no picture", "text"
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind)
    except OSError:  # formats have modes that they cannot hold
        return flipped(rng, content)
    return buffer.getvalue(), how


def archive(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """A zip with a damaged, renamed, doubled, hostile or very large member."""
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        members = [(info.filename, source.read(info)) for info in source.infolist()]
    i = rng.randrange(len(members))
    name, inner = members[i]
    how = rng.choice(
        ("inner", "inner", "bytes", "name", "double", "large", "none", "folder", "lie")
    )
    if how == "inner":
        inner, what = (npy if name.endswith(".npy") else picture)(rng, inner)
        members[i], how = (name, inner), f"{name}: {what}"
    elif how == "bytes":
        inner, what = rng.choice(BYTES)(rng, inner)
        members[i], how = (name, inner), f"{name}: {what}"
    elif how == "name":
        new = rng.choice(
            ("../../up.png", "/abs.png", "a.txt", "__MACOSX/._a.png", "\x1b[2J.png", ".")
        )
        members[i], how = (new, inner), f"{name} called {new!r}"
    elif how == "double":
        members.append((name, inner))
    elif how == "large":
        zeros = bytes(rng.choice((1 << 20, 64 << 20)))
        end = name.rpartition(".")[2]
        members.append((f"large.{end}", inner + zeros))
    elif how == "none":
        members = []
    elif how == "folder":
        members.append(("folder/", b""))
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        warnings.simplefilter("ignore")  # of members with the same name, which are meant
        for one, data in members:
            target.writestr(zipfile.ZipInfo(one) if one in ("", ".") else one, data)
    made = buffer.getvalue()
    if how == "lie":  # sizes, method or flags in the directory are another
        place = made.rfind(b"PK\x01\x02")
        offset, size = rng.choice(((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (42, 4)))
        made = made[: place + offset] + rng.randbytes(size) + made[place + offset + size :]
        how = f"directory entry at {offset} is noise"
    return made, how


AWARE: dict[str, Mutation] = {
    ".json": json_text,
    ".jsonl": json_lines,
    ".log": json_lines,
    ".safetensors": safetensors,
    ".npy": npy,
    ".npz": archive,
    ".zip": archive,
    ".csv": delimited,
    ".tsv": delimited,
    ".parquet": parquet,
    ".png": picture,
}


def mutated(rng: random.Random, content: bytes, suffix: str) -> tuple[bytes, str]:
    """``content`` of a file of that ending, damaged in a random way; and how, in words."""
    if suffix in AWARE and rng.random() < 0.7:
        return AWARE[suffix](rng, content)
    return rng.choice(BYTES)(rng, content)
