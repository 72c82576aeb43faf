import gzip
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbing.data import read_idx
from ebbing.errors import InputError

PIXELS = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def idx_bytes(array: np.ndarray, *, kind: int = 0x08) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


VALID = idx_bytes(PIXELS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "some-images"


def refusal(file: Path, content: bytes) -> str:
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_idx(file)
    assert str(file) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("array", [PIXELS, np.array([7, 0, 255], dtype=np.uint8)])
@pytest.mark.parametrize("name", ["x", "x.gz"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_plain_and_gzipped_whatever_the_name(tmp_path: Path, array, name, pack) -> None:
    (tmp_path / name).write_bytes(pack(idx_bytes(array)))
    read = read_idx(str(tmp_path / name))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)
    read[0] = 1  # writable


def test_reads_across_chunks(file: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, size=(3, 1 << 20), dtype=np.uint8)
    file.write_bytes(idx_bytes(array))
    np.testing.assert_array_equal(read_idx(file), array)


def test_reads_gzip_of_two_members(file: Path) -> None:
    file.write_bytes(gzip.compress(VALID[:9]) + gzip.compress(VALID[9:]))
    np.testing.assert_array_equal(read_idx(file), PIXELS)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (VALID[:-1], r"shape (2, 3, 4), so 24 bytes must follow it, but only 23 do"),
        (VALID[:3], "starts with 00 00 08"),
        (VALID[:10], "ends after 6 bytes"),
        (VALID + b"\0", "so 24 bytes must follow it, but more do"),
        (b"<!DOCTYPE html><html></html>", "starts with 3c 21 44 4f"),
        (idx_bytes(PIXELS, kind=0x0D), "has type 0x0d (float32). Convert it"),
        (idx_bytes(PIXELS, kind=0x07), "has type 0x07 (no type of the format)"),
        (b"\0\0\x08\0", "says 0"),
        (b"\0\0\x08\xff" + bytes(2000), "says 255"),
        (idx_bytes(np.zeros((0, 28, 28), dtype=np.uint8)), "at least 1, but its header says (0, 28, 28)"),
    ],
)
def test_refuses_by_name(file: Path, content: bytes, text: str) -> None:
    assert text in refusal(file, content)
    if content:
        assert text in refusal(file, gzip.compress(content))


def test_refuses_broken_gzip(file: Path) -> None:
    packed = gzip.compress(VALID)
    wrong_checksum = packed[:-8] + bytes(4) + packed[-4:]
    for content in (packed[:2], packed[:15], packed[:-1], wrong_checksum, packed + b"trailing"):
        assert "cut short or damaged" in refusal(file, content)
    assert "starts with nothing" in refusal(file, gzip.compress(b""))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("shape", [(1 << 20, 1 << 10, 1 << 10), (0xFFFFFFFF,) * 8])
def test_allocates_nothing_by_a_header_that_lies(file: Path, pack, shape) -> None:
    content = pack(struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + bytes(1000))
    tracemalloc.start()
    try:
        assert "cannot hold more than" in refusal(file, content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20  # bytes; the headers claim 2^40 and more


def test_a_gzip_bomb_behind_a_small_header_is_not_unpacked(file: Path) -> None:
    content = gzip.compress(VALID + bytes(50 << 20))
    tracemalloc.start()
    try:
        assert "but more do" in refusal(file, content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, text in (
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "device, pipe or socket"),
        (tmp_path / "absent", "No such file"),
        (tmp_path / "loop", "symbolic links"),
        ("a\0b", "null"),
        ("x" * 5000, "too long"),
    ):
        with pytest.raises(InputError, match=text) as caught:
            read_idx(path)
        assert repr(str(path))[1:-1] in str(caught.value)


def test_refuses_what_it_may_not_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    file.write_bytes(VALID)
    monkeypatch.setattr(Path, "open", deny)  # not chmod: root may read everything
    with pytest.raises(InputError, match=r"some-images.*Permission denied"):
        read_idx(file)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid file, plain or gzipped, with bytes overwritten, cut off, or added, before or after packing."""

    def damage(content: bytes) -> bytes:
        edits = draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=4))
        mutable = bytearray(content)
        for position, value in edits:
            mutable[position] = value
        length = draw(st.one_of(st.just(len(mutable)), st.integers(0, len(mutable))))
        return bytes(mutable[:length]) + draw(st.one_of(st.just(b""), st.binary(max_size=8)))

    content = damage(VALID)
    return damage(gzip.compress(content, mtime=0)) if draw(st.booleans()) else content


@st.composite
def arbitrary(draw: st.DrawFn) -> bytes:
    """Any bytes, alone or behind the beginning of a header, plain, gzipped, or only said to be gzipped."""
    content = draw(st.sampled_from([b"", b"\0\0", b"\0\0\x08", b"\0\0\x08\x01\0\0\0", b"\0\0\x08\x02\0\0\0\x02\0\0\0"]))
    content += draw(st.binary(max_size=40))
    pack = draw(st.sampled_from([bytes, gzip.compress, b"\x1f\x8b".__add__, b"\x1f\x8b\x08\0".__add__]))
    return pack(content)


@given(content=damaged() | arbitrary())
def test_any_bytes_and_any_damage_are_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged"
    file.write_bytes(content)
    try:  # any other error than this one fails the test
        array = read_idx(file)
    except InputError as error:
        assert str(file) in str(error)  # noqa: PT017
    else:
        plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        assert idx_bytes(array) == plain
