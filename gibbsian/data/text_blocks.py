"""Delimited text in blocks of whole lines, as UTF-8: packed, in other encodings, from standard input."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from gibbsian.core import limits

STDIN = Path("-")
SIZE = 2**22
"""Bytes that are read at a time."""
LONGEST = 2**26
"""Bytes of the longest line, quoted line ends included."""
FOREIGN = {
    b"pk\x03\x04": "a zip archive or the sheets of a spreadsheet program",
    b"\xd0\xcf\x11\xe0": "the sheets of a spreadsheet program",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<?xml": "XML",
    b"{": "JSON",
    b"[{": "JSON",
    b"%pdf": "a PDF",
    b"@relation": "an ARFF table",
    b"sqlite format 3": "a database",
}
"""How other files begin, in small letters."""
GZIP = b"\x1f\x8b"
UTF_16 = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True)
class Block:
    """Whole lines ``text`` in UTF-8, of which the first is number ``line`` (from 1) of the file."""

    text: bytes
    line: int


class TextFile:
    """The text at ``path``, ``-`` for standard input; ``encoding`` is known once blocks were read.

    UTF-8 and UTF-16 with or without a mark, otherwise Windows-1252, of which Latin-1 is a part.
    """

    def __init__(self, path: Path):
        self.path = path
        self.encoding = "utf-8"
        self.share = 1.0  # of the bytes, in blocks so far, where the file's size is theirs
        self._is_utf_8 = False  # known from a character beyond ASCII

    def blocks(self) -> Iterator[Block]:
        """Blocks that end where a line does, outside of quotes.

        ValueError, one sentence, for a damaged archive, bytes that are no text, or what goes beyond a limit.
        """
        carry, line, done = b"", 1, 0
        size = self.path.stat().st_size if self.path.is_file() else 0
        for piece in self._transcoded():
            found = carry + piece if carry else piece
            end = end_of_lines(found)
            if end == 0 and len(found) > LONGEST:
                raise ValueError(
                    f"{self.path} has a line of more than {LONGEST} bytes from line {line} on; put "
                    "each row on a line of its own and close each quotation mark"
                )
            if end:
                done += end
                self.share = min(1.0, done / max(size, done))
                text = found if end == len(found) else found[:end]
                yield Block(self._as_utf_8(text, line), line)
                line += text.count(b"\n")
            carry = found[end:]
        if carry:
            yield Block(self._as_utf_8(carry, line), line)

    def _transcoded(self) -> Iterator[bytes]:
        """The file's bytes, UTF-16 as UTF-8, without the encoding's mark, lines ended by line feeds."""
        decoder: codecs.IncrementalDecoder | None = None
        single_returns = False
        for place, piece in enumerate(itertools.chain(_pieces(self.path), [b""])):
            if place == 0:
                mark, self.encoding = _encoding_of(piece)
                piece = piece[len(mark) :]
                _check_text(piece, self.path)
                if self.encoding != "utf-8":
                    decoder = codecs.getincrementaldecoder(self.encoding)()
            if decoder is not None:
                try:
                    piece = decoder.decode(piece, final=not piece).encode()
                except UnicodeError as error:
                    raise ValueError(
                        f"{self.path} begins as {self.encoding.upper()} text and is not ({error}); "
                        "save it as UTF-8"
                    ) from error
            if place == 0:
                single_returns = b"\r" in piece and b"\n" not in piece
            if b"\0" in piece:
                raise ValueError(
                    f"{self.path} cannot be read as text: it holds NUL bytes; save it as UTF-8"
                )
            yield piece.replace(b"\r", b"\n") if single_returns else piece

    def _as_utf_8(self, text: bytes, line: int) -> bytes:
        if text.isascii():
            return text
        if self.encoding != "cp1252":
            try:
                text.decode()
            except UnicodeDecodeError as error:
                if self._is_utf_8:
                    raise self._no_text(text, error.start, line) from error
                self.encoding = "cp1252"
            else:
                self._is_utf_8 = True
                return text
        try:
            return text.decode("cp1252").encode()
        except UnicodeDecodeError as error:
            raise self._no_text(text, error.start, line) from error

    def _no_text(self, text: bytes, place: int, line: int) -> ValueError:
        number = line + text.count(b"\n", 0, place)
        return ValueError(
            f"{self.path} is not UTF-8 text, nor of another encoding throughout (byte "
            f"0x{text[place]:02x} in line {number}); save it as UTF-8"
        )


def _pieces(path: Path) -> Iterator[bytes]:
    """The unpacked bytes of a file, mostly whole lines; ValueError where there are more than the limit."""
    try:
        with _opened(path) as (file, most):
            left = most
            while piece := file.read(SIZE if most is None else min(SIZE, most + 1)):
                piece += file.readline(SIZE)  # so that blocks need not be put together again
                if left is not None and most is not None:
                    left -= len(piece)
                    if left < 0:
                        raise limits.refusal("BYTES", most + 1, f"{path} unpacks to at least")
                yield piece
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not an intact gzip file ({error}); copy it again") from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], int | None]]:
    """The file, and how many bytes it may have where its size does not say it."""
    if path == STDIN:
        file = io.BufferedReader(sys.stdin.buffer)  # type: ignore[type-var]  # it may not peek
        try:
            if file.peek(2).startswith(GZIP):
                with gzip.open(file) as unpacked:
                    yield unpacked, limits.limit("BYTES")  # type: ignore[misc]  # it reads bytes
            else:
                yield file, limits.limit("BYTES")
        finally:
            file.detach()
        return
    with path.open("rb") as found:
        packed = path.suffix.lower() == ".gz" or found.read(2) == GZIP
        found.seek(0)
        if not packed:
            yield found, None
            return
        with gzip.open(found) as unpacked:
            yield unpacked, limits.limit("BYTES")  # type: ignore[misc]  # it reads bytes


def _encoding_of(head: bytes) -> tuple[bytes, str]:
    """The mark that a file begins with, and its encoding; UTF-16 without one has a NUL per letter."""
    if head.startswith(codecs.BOM_UTF8):
        return codecs.BOM_UTF8, "utf-8"
    for mark, name in UTF_16:
        if head.startswith(mark):
            return mark, name
    start = head[: 2 * (len(head[:1000]) // 2)]
    nuls = [start[k::2].count(0) / max(1, len(start) // 2) for k in (0, 1)]
    if len(start) >= 4 and max(nuls) > 0.9 and min(nuls) == 0:
        return b"", "utf-16-be" if nuls[0] > nuls[1] else "utf-16-le"
    return b"", "utf-8"


def _check_text(head: bytes, path: Path) -> None:
    """ValueError where a file begins as those of other programs do, whatever its ending says."""
    start = head[:100].lstrip().lower()
    for beginning, what in FOREIGN.items():
        if start.startswith(beginning):
            raise ValueError(f"{path} holds {what}, not delimited text; save it as CSV")


def end_of_lines(text: bytes) -> int:
    """Where the last line of ``text`` ends that ends outside of quotes; 0 if none does."""
    if b'"' not in text:
        return text.rfind(b"\n") + 1
    marks = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(marks == ord("\n"))
    outside = ends[np.searchsorted(np.flatnonzero(marks == ord('"')), ends) % 2 == 0]
    return int(outside[-1]) + 1 if len(outside) else 0
