"""CSV files as they come: packed or not, with any line ends, broken here and there, or no such file at all."""

import gzip
import io
from collections.abc import Callable

import pytest

from commands.importers import NotThisFormat, Unreadable
from commands.importers.csv_rows import LONGEST_LINE, Row, read_rows

TEXT = 'a,b\n1,"Größe, ""x"""\n\n2,y\n'


def read(content: bytes) -> list[Row | Unreadable]:
    return list(read_rows(io.BufferedReader(io.BytesIO(content)), required=["a", "b"]))


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_whole_file(ends: str, end: bool, pack: Callable[[bytes], bytes], bom: bytes) -> None:
    text = TEXT if end else TEXT.rstrip()
    assert read(pack(bom + text.replace("\n", ends).encode())) == [
        Row(2, {"a": "1", "b": 'Größe, "x"'}),
        Row(4, {"a": "2", "b": "y"}),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1", "1 columns instead of 2"),
        (b"1,2,3", "3 columns instead of 2"),
        (b"1,\0", "NUL"),
        (b'1,"x', "not CSV"),
        (b'1,"x"y', "not CSV"),
        (b"1,\xff", "not UTF-8"),
        (b"1," + b"x" * 3 * LONGEST_LINE, "longer than"),
        (b"x" * LONGEST_LINE, "longer than"),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_a_broken_row_spoils_itself_only(line: bytes, reason: str, last: bool) -> None:
    before, problem, *after = read(b"a,b\n1,x\n" + line + (b"" if last else b"\n3,z\n"))
    assert before == Row(2, {"a": "1", "b": "x"})
    assert isinstance(problem, Unreadable)
    assert (problem.line, problem.rows) == (3, 1)
    assert reason in problem.reason
    assert after == ([] if last else [Row(4, {"a": "3", "b": "z"})])


def test_a_packed_file_that_ends_early_gives_what_is_there() -> None:
    packed = gzip.compress("".join(["a,b\n", *(f"{n},{n * 7919 % 1009}\n" for n in range(5000))]).encode())
    *rows, problem = read(packed[: len(packed) // 2])
    assert all(isinstance(row, Row) for row in rows)
    assert isinstance(problem, Unreadable)
    assert "damaged" in problem.reason
    assert (problem.line, problem.rows) == (len(rows) + 2, 0)
    assert len(rows) > 100


def test_a_packed_file_with_a_wrong_byte_is_told() -> None:
    packed = bytearray(gzip.compress(TEXT.encode()))
    packed[-6] ^= 1
    *_, problem = read(bytes(packed))
    assert isinstance(problem, Unreadable)
    assert "damaged" in problem.reason


@pytest.mark.parametrize("content", ["", "\n", "c,b\n1,2\n", 'a,"b', "\x1f\x8b rubbish", "x" * 3 * LONGEST_LINE])
def test_another_file_is_refused_as_a_whole(content: str) -> None:
    with pytest.raises(NotThisFormat, match=r"does not name the columns .*a"):
        read(content.encode("latin-1"))


def test_a_header_that_names_a_column_twice_is_refused() -> None:
    with pytest.raises(NotThisFormat, match="twice"):
        read(b"a,b,a\n")


def test_the_file_stays_the_callers() -> None:
    file: io.BufferedReader = io.BufferedReader(io.BytesIO(TEXT.encode()))
    rows = read_rows(file, required=["a"])
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert not file.closed
