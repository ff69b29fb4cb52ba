"""A file's bytes, plain or gzip, piece by piece; where a packed one is damaged, that is told and not raised."""

import gzip
import io
import zlib
from collections.abc import Iterator

GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
CHUNK = 256 * 1024


def first_byte(file: io.BufferedReader) -> bytes:
    """The first byte that is no space, without taking it; none where there is none near the beginning."""
    head = file.peek(2)
    if head[:2] == GZIP:
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, CHUNK)
        except zlib.error:
            return b""
    return head.removeprefix(BOM).lstrip()[:1]


class Chunks:
    """The pieces, without a byte-order mark; `damage` says after the last one what ended them too early."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.damage: str | None = None
        self._source: io.BufferedIOBase = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == GZIP else file
        self._back = self._read()
        while self._back and len(self._back) < len(BOM):
            more = self._read()
            if not more:
                break
            self._back += more
        self._back = self._back.removeprefix(BOM)

    def peek(self, size: int) -> bytes:
        """At least `size` bytes of what is to come, where there are so many."""
        while len(self._back) < size:
            more = self._read()
            if not more:
                break
            self._back += more
        return self._back

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._back or self._read():
            self._back = b""
            yield chunk

    def lines(self, longest: int) -> Iterator[tuple[int, bytes | None]]:
        """Numbered lines without their ends (LF, CR LF); None for one that is longer."""
        number, size = 1, 0
        held: list[bytes] = []
        for chunk in self:
            *whole, last = chunk.split(b"\n")
            for line in whole:
                size += len(line)
                yield number, b"".join([*held, line]).rstrip(b"\r") if size <= longest else None
                number, held, size = number + 1, [], 0
            size += len(last)
            held = [*held, last] if size <= longest else []
        if size:
            yield number, b"".join(held).rstrip(b"\r") if size <= longest else None

    def _read(self) -> bytes:
        try:
            return self._source.read(CHUNK)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            self.damage = f"the compressed file is damaged from here on: {error}"
            return b""
