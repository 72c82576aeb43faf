"""Files that name records."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbing.errors import InputError
from ebbing.ids import read_ids, read_keys

READERS = (read_ids, read_keys)
FAR = 2**63 - 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ids.txt"


def refusal(read, path: str | Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    return str(caught.value)


def test_positions_are_read_past_comments_and_blank_lines(file) -> None:
    file.write_text("# mine\n3\n\n  7  # and this one\n\t1296\n-4\n+5\n3")
    assert read_ids(file) == read_ids(str(file)) == [3, 7, 1296, -4, 5, 3]


def test_keys_may_hold_any_character(file) -> None:
    file.write_text("# no comment\n\n  Müller, Jörg \t\n7\na\x0cb\u2028c\rd\n \ufeff\n7", encoding="utf-8", newline="")
    keys = ["# no comment", "Müller, Jörg", "7", "a\x0cb\u2028c\rd", "\ufeff", "7"]
    assert read_keys(file) == read_keys(str(file)) == keys


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\t\n", codecs.BOM_UTF8, codecs.BOM_UTF8 + b"\r\n"])
def test_a_file_without_records_gives_an_empty_list(file, content) -> None:
    file.write_bytes(content)
    assert read_ids(file) == read_keys(file) == []


def test_a_byte_order_mark_and_line_ends_are_no_part_of_an_id(file) -> None:
    file.write_bytes(codecs.BOM_UTF8 + b"12\r\n13\r\n")
    assert read_ids(file) == [12, 13]
    assert read_keys(file) == ["12", "13"]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        (b"\xff\xfe1\x00\n\x00", 1, "bytes that are not UTF-8"),  # UTF-16, with a mark
        (b"1\n2\xe9\n3", 2, "bytes that are not UTF-8"),  # Latin-1
        (codecs.BOM_UTF8 + b"1\n\xff", 2, "bytes that are not UTF-8"),
        (b"1\n2\n\xed\xa0\x80", 3, "bytes that are not UTF-8"),  # half a surrogate pair
        (b"1\x00\n\x00", 1, "a null byte"),  # UTF-16, without a mark
        (b"1\r\n\r\n2\x00", 3, "a null byte"),
        (codecs.BOM_UTF8 + b"1\n\x00", 2, "a null byte"),
    ],
)
def test_what_is_no_text_is_refused(file, read, content, line, what) -> None:
    file.write_bytes(content)
    message = refusal(read, file)
    assert f"{file}, line {line}: " in message
    assert "must be UTF-8 text" in message
    assert what in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\nbanana\n", "line 2: an id must be a whole number, but is 'banana'"),
        ("1.5\n", "line 1: an id must be a whole number, but is '1.5'"),
        ("1 2\n", "line 1: an id must be a whole number, but is '1 2'"),
        ("1_000\n", "line 1: an id must be a whole number, but is '1_000'"),
        ("# ok\n\n³\n", "line 3: an id must be a whole number, but is '³'"),
        ("++5", "must be a whole number"),
        ("-", "must be a whole number"),
        ("x" * 5000, f"must be a whole number, but is '{'x' * 40}...'"),
        (f"1\n{FAR + 1}", f"line 2: an id must be a position in the training set, but {FAR + 1} is far outside"),
        (f"{-FAR - 1}", f"but {-FAR - 1} is far outside"),
        ("9" * 41, f"but {'9' * 40}... is far outside"),
        ("-" + "9" * 100_000, f"line 1: an id must be a position in the training set, but -{'9' * 39}... is far"),
    ],
)
def test_a_line_that_is_no_position_is_named(file, text, message) -> None:
    file.write_text(text, encoding="utf-8")
    found = refusal(read_ids, file)
    assert message in found
    assert str(file) in found
    assert len(found) < len(str(file)) + 200
    assert len(read_keys(file)) > 0


def test_the_largest_positions_are_read_for_the_request_to_refuse(file) -> None:
    file.write_text(f"{FAR}\n{-FAR}\n")
    assert read_ids(file) == [FAR, -FAR]


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file_is_refused(read, tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, text in (
        (tmp_path, "this is a folder"),
        (tmp_path / "pipe", "device, pipe or socket"),
        ("/dev/zero", "device, pipe or socket"),
        (tmp_path / "absent", "No such file"),
        (tmp_path / "loop", "symbolic links"),
        ("a\0b", "null"),
        ("x" * 5000, "too long"),
    ):
        message = refusal(read, path)
        assert text in message
        assert repr(str(path))[1:-1] in message


@pytest.mark.parametrize("read", READERS)
def test_what_may_not_be_read_is_refused(read, file, monkeypatch) -> None:
    def deny(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    file.write_text("1\n")
    monkeypatch.setattr(Path, "read_bytes", deny)  # not chmod: root may read everything
    assert f"'{file}': a file of " in refusal(read, file)
    assert "Permission denied" in refusal(read, file)


# ---------------------------------------------------------------- anything at all


@st.composite
def edited(draw: st.DrawFn) -> bytes:
    """A good file with bytes overwritten, cut off or added."""
    content = bytearray(draw(st.sampled_from([b"", codecs.BOM_UTF8])) + b"12\r\n# comment\n\n 345 # more\n6\xc3\xa9\n")
    for place, value in draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4)):
        content[place] = value
    return bytes(content[: draw(st.integers(0, len(content)))]) + draw(st.binary(max_size=6))


NUMBERLIKE = st.text(st.sampled_from("0123456789+-_ #\n\r\t.eEx³٣\ufeff\x0c\x85\u2028")).map(str.encode)


@given(content=st.binary() | edited() | NUMBERLIKE)
def test_any_bytes_are_read_or_refused(tmp_path_factory, content) -> None:
    file = tmp_path_factory.getbasetemp() / "any bytes"
    file.write_bytes(content)
    for read, kind in ((read_ids, int), (read_keys, str)):
        try:  # any other error than this one fails the test
            found = read(file)
        except InputError as error:
            assert str(file) in str(error)  # noqa: PT017
        else:
            assert type(found) is list
            assert all(type(record) is kind for record in found)
            assert all(abs(record) <= FAR if kind is int else record == record.strip() != "" for record in found)


ENDS = st.sampled_from(["\n", "\r\n", "\n\n", " \t\r\n"])
COMMENTS = st.sampled_from(["", "#", " # 7", "\t## é"])


@given(
    records=st.lists(st.tuples(st.integers(-FAR, FAR), COMMENTS, ENDS)),
    before=st.sampled_from(["", "\ufeff", "# first\n", "\ufeff\r\n"]),
)
def test_positions_that_were_written_are_read(tmp_path_factory, records, before) -> None:
    file = tmp_path_factory.getbasetemp() / "written ids"
    file.write_bytes((before + "".join(f" {i}{comment}{end}" for i, comment, end in records)).encode())
    assert read_ids(file) == [i for i, _, _ in records]


# any key of one line; the mark, if any, is written by the test
KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), min_size=1).map(str.strip).filter(bool)


@given(records=st.lists(st.tuples(KEYS, ENDS)), before=st.sampled_from([" ", "\ufeff", "\ufeff\r\n"]))
def test_keys_that_were_written_are_read(tmp_path_factory, records, before) -> None:
    file = tmp_path_factory.getbasetemp() / "written keys"
    file.write_bytes((before + "".join(key + end for key, end in records)).encode())
    assert read_keys(file) == [key for key, _ in records]
