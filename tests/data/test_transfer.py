"""Downloads from servers that cut, stall, lie and refuse, and processes that are killed."""

import contextlib
import gzip
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mirrors import (
    IMAGES,
    RAW,
    Handler,
    Mirror,
    announce,
    check,
    chunked,
    cut,
    hang_up,
    honest,
    other,
    packed,
    redirect,
    shifted,
    stall,
    status,
    unsized,
    whole,
)

import ebbing.data.transfer as transfer
from ebbing.data import download
from ebbing.data.download import SHA256
from ebbing.data.search import FILES
from ebbing.errors import DataNotFoundError, InputError

pytestmark = pytest.mark.usefixtures("published")


@pytest.mark.parametrize(
    ("trick", "reason"),
    [
        (status(404), "HTTP 404"),
        (status(503), "HTTP 503"),
        (status(416), "HTTP 416"),
        (status(204), "HTTP 204"),
        (shifted, "another part"),
        (hang_up, "closed connection"),
        (stall(0), "no byte came for 1 seconds"),
        (cut(0), "cut after 0 of"),
        (redirect("ftp://127.0.0.1:1"), ""),
        (redirect("file:///etc/passwd?"), "HTTP 302"),
        (other(b"<html>log in first</html>"), "no whole gzip file"),
        (other(gzip.compress(RAW[IMAGES])[:-9]), "no whole gzip file"),
        (unsized(gzip.compress(RAW[IMAGES])[:-9]), "no whole gzip file"),
        (other(gzip.compress(RAW[IMAGES]) + b"more"), "no whole gzip file"),
        (other(gzip.compress(b"")[:10] + bytes([255]) * 99), "no whole gzip file"),
        (other(gzip.compress(RAW[IMAGES][:-1] + b"?")), "other content"),
        (other(RAW[IMAGES]), "no whole gzip file"),  # unpacked on the way: not what is called .gz
        (other(b""), "other content"),
        (other(gzip.compress(bytes(10_000_000))), "unpacks to more than 1 MiB"),
        (announce(1 << 40), "sends more than 1 MiB"),
        (unsized(bytes(1 << 16), repeat=1 << 20), "sends more than 1 MiB"),
    ],
)
def test_a_bad_mirror_is_left_for_the_next(
    tmp_path: Path, serve, caplog, monkeypatch: pytest.MonkeyPatch, trick, reason: str
) -> None:
    monkeypatch.setattr(transfer, "_MOST_BYTES", 1 << 20)
    caplog.set_level(logging.INFO, logger="ebbing")
    first, second = serve(trick), serve(files=packed(stamp=1))
    check(download("mnist", directory=tmp_path, mirrors=[first.url, second.url], timeout=1.0))
    assert [message for message in caplog.messages if first.url in message and reason in message]
    assert first.ranges() == second.ranges() == [None]
    assert [len(mirror.asked) for mirror in (first, second)] == [1, 4]  # the one that failed is asked last from then on


@pytest.mark.parametrize("interruption", [cut(50_000), stall(50_000)])
def test_a_connection_that_breaks_is_gone_on_with(tmp_path: Path, serve, interruption) -> None:
    first, second = serve(interruption, interruption), serve()
    check(download("mnist", directory=tmp_path, mirrors=[first.url, second.url], timeout=1.0))
    assert first.ranges() == [None, "bytes=50000-", "bytes=100000-"]
    assert second.asked == []


def test_an_address_is_asked_five_times_at_most(tmp_path: Path, serve) -> None:
    first, second = serve(*[cut(100)] * 9), serve(files=packed(stamp=1))
    check(download("mnist", directory=tmp_path, mirrors=[first.url, second.url]))
    assert first.ranges() == [None, *(f"bytes={n}00-" for n in range(1, 5))]
    assert second.ranges() == [None]


def test_bytes_without_end_are_not_kept(tmp_path: Path, serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_MOST_BYTES", 1 << 20)
    for trick in (unsized(bytes(1 << 16), repeat=1 << 20), announce(1 << 40)):
        with pytest.raises(DataNotFoundError, match="sends more than 1 MiB"):
            download("mnist", directory=tmp_path, mirrors=[serve(cut(100), trick).url])
        assert os.listdir(tmp_path) == []


def test_a_second_break_without_a_byte_is_the_last(tmp_path: Path, serve) -> None:
    first, second = serve(cut(100), hang_up), serve()
    check(download("mnist", directory=tmp_path, mirrors=[first.url, second.url]))
    assert (first.ranges(), second.ranges()) == ([None, "bytes=100-"], [None])


@pytest.mark.parametrize(
    ("answer", "ranges"),
    [
        (whole, [None, "bytes=100-"]),
        (status(416), [None, "bytes=100-", None]),
        (shifted, [None, "bytes=100-", None]),
        (status(206), [None, "bytes=100-", None]),  # does not say which part
    ],
)
def test_a_server_that_does_not_go_on_starts_over(tmp_path: Path, serve, answer, ranges: list[str | None]) -> None:
    mirror = serve(cut(100), answer)
    check(download("mnist", directory=tmp_path, mirrors=[mirror.url]))
    assert mirror.ranges() == ranges


def test_servers_that_do_not_say_the_length(tmp_path: Path, serve) -> None:
    seen = []
    mirror = serve(unsized(), chunked(), chunked(500), honest)
    check(download("mnist", directory=tmp_path, mirrors=[mirror.url], on_progress=lambda *all: seen.append(all)))
    assert [asked for _, asked in mirror.asked] == [None, None, None, "bytes=500-", None]
    assert {total for file, _, total in seen if file in FILES[:2]} == {None}


def test_redirections_are_followed_with_the_range(tmp_path: Path, serve) -> None:
    end = serve(cut(100))
    mirror = serve(redirect(end.url), redirect(end.url))
    check(download("mnist", directory=tmp_path, mirrors=[mirror.url]))
    assert end.ranges() == [None, "bytes=100-"]


def interrupt_at(received: int):
    def on_progress(file: str, so_far: int, total: int | None) -> None:
        if file == IMAGES and so_far >= received:
            raise KeyboardInterrupt

    return on_progress


def test_a_later_run_goes_on_at_each_address_by_itself(tmp_path: Path, serve) -> None:
    first, second = serve(stall(60_000)), serve(files=packed(stamp=1))
    mirrors = [first.url, second.url]
    with pytest.raises(KeyboardInterrupt):
        download("mnist", directory=tmp_path, mirrors=mirrors, on_progress=interrupt_at(60_000))
    assert not (tmp_path / f"{IMAGES}.gz").exists()
    first.tricks.append(status(503))
    with pytest.raises(KeyboardInterrupt):
        download("mnist", directory=tmp_path, mirrors=mirrors, on_progress=interrupt_at(1))
    check(download("mnist", directory=tmp_path, mirrors=mirrors))
    assert first.ranges() == [None, "bytes=60000-", "bytes=60000-"]
    assert second.ranges() == [None]


def test_what_was_received_whole_needs_no_network(tmp_path: Path, serve) -> None:
    mirror = serve()
    with pytest.raises(KeyboardInterrupt):
        download("mnist", directory=tmp_path, mirrors=[mirror.url], on_progress=interrupt_at(150_000))
    check(download("mnist", directory=tmp_path, mirrors=[mirror.url]))
    assert mirror.ranges() == [None]


@pytest.mark.parametrize("size", [100, 500_000])
def test_a_rotten_rest_of_an_earlier_run_is_thrown_away(tmp_path: Path, serve, size: int) -> None:
    mirror = serve()
    transfer.part_file(tmp_path / f"{IMAGES}.gz", f"{mirror.url}/{IMAGES}.gz").write_bytes(bytes(size))
    check(download("mnist", directory=tmp_path, mirrors=[mirror.url]))
    assert mirror.ranges() == [f"bytes={size}-", None]


def test_a_folder_that_cannot_be_written_is_the_users_to_mend(
    tmp_path: Path, serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = serve()
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "a\0b"):
        with pytest.raises(InputError, match="a folder to download into must be"):
            download("mnist", directory=folder, mirrors=[mirror.url])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transfer, "write_whole", full)
    with pytest.raises(InputError, match=r"No space left on device\. Mend"):
        download("mnist", directory=tmp_path / "x", mirrors=[mirror.url, mirror.url])
    assert len(mirror.asked) == 1  # another mirror would not help
    monkeypatch.undo()


def test_errors_of_the_callers_own_code_are_not_taken_for_the_networks(tmp_path: Path, serve) -> None:
    def on_progress(*_: object) -> None:
        raise BrokenPipeError("the terminal is gone")

    with pytest.raises(BrokenPipeError, match="terminal"):
        download("mnist", directory=tmp_path, mirrors=[serve().url], on_progress=on_progress)


TRICKS = st.one_of(
    st.integers(0, 150_100).map(cut),
    st.sampled_from([whole, shifted, hang_up, status(503), status(416), status(206), unsized(), chunked(900)]),
    st.sampled_from([b"", b"\x1f\x8b", gzip.compress(b"no")]).map(other),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(st.tuples(st.lists(TRICKS, max_size=8), st.integers(0, 150_100)), max_size=3),
)
def test_whatever_happens_only_right_files_get_into_place(runs) -> None:
    """Each run meets mischief and may be stopped; what has its final name is right, and an honest server ends it."""
    with tempfile.TemporaryDirectory() as folder, Mirror(packed()) as mirror:
        for tricks, stop in runs:
            mirror.tricks.extend(tricks)
            with contextlib.suppress(DataNotFoundError, KeyboardInterrupt):
                download("mnist", directory=folder, mirrors=[mirror.url], on_progress=interrupt_at(stop))
            for file in set(os.listdir(folder)) & packed().keys():
                assert (Path(folder) / file).read_bytes() == packed()[file]
        mirror.tricks.clear()
        check(download("mnist", directory=folder, mirrors=[mirror.url]))
        mirror.shutdown()


def in_a_process(folder: Path, mirror: Mirror) -> subprocess.Popen[bytes]:
    code = f"""
from ebbing.data.download import SHA256, download
SHA256["mnist"] = {SHA256["mnist"]!r}
download("mnist", directory={str(folder)!r}, mirrors=[{mirror.url!r}])
"""
    return subprocess.Popen([sys.executable, "-c", code])


def test_a_killed_process_leaves_nothing_wrong_and_the_next_goes_on(tmp_path: Path, serve) -> None:
    mirror = serve(stall(700))
    part = transfer.part_file(tmp_path / f"{IMAGES}.gz", f"{mirror.url}/{IMAGES}.gz")
    process = in_a_process(tmp_path, mirror)
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size == 700):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert os.listdir(tmp_path) == [part.name]
    check(download("mnist", directory=tmp_path, mirrors=[mirror.url]))
    assert mirror.ranges() == [None, "bytes=700-"]


def test_two_processes_share_a_folder(tmp_path: Path, serve) -> None:
    both = threading.Barrier(2, timeout=60)

    def together(handler: Handler, body: bytes) -> None:
        handler.start(200, Content_Length=len(body))
        handler.wfile.write(body[:1000])
        both.wait()  # neither gets on before the other has begun
        handler.wfile.write(body[1000:])

    mirror = serve(together, together)
    processes = [in_a_process(tmp_path, mirror) for _ in range(2)]
    assert [process.wait(90) for process in processes] == [0, 0]
    assert mirror.ranges() == [None, None]
    check(tmp_path)
