import os
import time
from pathlib import Path

import pytest
from mirrors import IMAGES, RAW, check, cut, packed, refusing, stall, status

from ebbing.data import download, load
from ebbing.data.download import MIRRORS, SHA256
from ebbing.data.search import FILES
from ebbing.data.transfer import part_file
from ebbing.errors import DataNotFoundError, InputError

pytestmark = pytest.mark.usefixtures("published")


def test_files_come_from_the_first_mirror(tmp_path: Path, serve) -> None:
    first, second = serve(), serve()
    folder = download("mnist", directory=tmp_path / "new" / "x", mirrors=[first.url + "/", second.url])
    assert folder == tmp_path / "new" / "x"
    check(folder)
    assert first.asked == [(f"/some/where/{file}.gz", None) for file in FILES]
    assert second.asked == []
    assert (folder / f"{IMAGES}.gz").stat().st_mode & 0o777 == 0o644


def test_a_proxy_of_the_environment_is_used(tmp_path: Path, serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve()
    monkeypatch.setenv("http_proxy", proxy.url)
    check(download("mnist", directory=tmp_path, mirrors=["http://mirror.invalid/a"]))
    assert proxy.asked[0] == (f"http://mirror.invalid/a/{IMAGES}.gz", None)


def test_progress_tells_what_is_there_of_how_much(tmp_path: Path, serve) -> None:
    seen: dict[str, list[tuple[int, int | None]]] = {}
    mirror = serve(cut(100_000))
    download(
        "mnist",
        directory=tmp_path,
        mirrors=[mirror.url],
        on_progress=lambda file, received, total: seen.setdefault(file, []).append((received, total)),
    )
    assert list(seen) == list(FILES)
    for file, steps in seen.items():
        size = len(packed()[f"{file}.gz"])
        assert {total for _, total in steps} == {size}
        assert [received for received, _ in steps] == sorted(received for received, _ in steps)
        assert (steps[0][0], steps[-1][0]) == (0, size)
    assert (100_000, len(packed()[f"{IMAGES}.gz"])) in seen[IMAGES]


def test_when_all_fail_each_is_listed_with_its_reason(tmp_path: Path, serve) -> None:
    forged, slow, nobody = serve(status(404, "Gone\x1b[2Jfor good")), serve(stall(10), stall(0)), refusing()
    begun = time.monotonic()
    with pytest.raises(DataNotFoundError) as caught:
        download("mnist", directory=tmp_path, mirrors=[forged.url, nobody, slow.url], timeout=0.5)
    assert 1 <= time.monotonic() - begun < 8  # two stalls
    lines = str(caught.value).splitlines()
    assert lines[1:4] == [
        f"  {forged.url}/{IMAGES}.gz: HTTP 404 (Gone [2Jfor good)",
        f"  {nobody}/{IMAGES}.gz: Connection refused",
        f"  {slow.url}/{IMAGES}.gz: no byte came for 0.5 seconds",
    ]
    assert len(lines) == 5
    for word in (*FILES, str(tmp_path), "EBBING_DATA", "--data-dir", "EBBING_MIRROR"):
        assert word in lines[4]
    (kept,) = os.listdir(tmp_path)  # of the one that sent something
    assert (tmp_path / kept).read_bytes() == packed()[f"{IMAGES}.gz"][:10]


def test_right_files_are_kept_and_wrong_packed_ones_replaced(tmp_path: Path, serve) -> None:
    mirror = serve()
    (tmp_path / FILES[0]).write_bytes(RAW[FILES[0]])
    (tmp_path / f"{FILES[1]}.gz").write_bytes(packed(stamp=1)[f"{FILES[1]}.gz"])
    (tmp_path / f"{FILES[2]}.gz").write_bytes(packed()[f"{FILES[3]}.gz"])
    (tmp_path / f"{FILES[3]}.gz").write_bytes(packed()[f"{FILES[3]}.gz"][:-1])
    before = (tmp_path / f"{FILES[1]}.gz").stat().st_ino
    for _ in range(2):
        download("mnist", directory=tmp_path, mirrors=[mirror.url])
    assert mirror.asked == [(f"/some/where/{file}.gz", None) for file in FILES[2:]]
    assert (tmp_path / f"{FILES[1]}.gz").stat().st_ino == before
    (tmp_path / FILES[0]).rename(tmp_path / f"{FILES[0]}.gz")  # plain content under a packed name reads as well
    download("mnist", directory=tmp_path, mirrors=[mirror.url])
    assert len(mirror.asked) == 2


def test_a_plain_file_with_other_content_is_refused_before_anything_is_fetched(tmp_path: Path, serve) -> None:
    mirror = serve()
    (tmp_path / FILES[3]).write_bytes(b"my own")
    with pytest.raises(InputError, match=f"{tmp_path / FILES[3]}: .*other content"):
        download("mnist", directory=tmp_path, mirrors=[mirror.url])
    assert os.listdir(tmp_path) == [FILES[3]]
    assert mirror.asked == []


def test_the_mirror_of_the_environment_is_asked_first(tmp_path: Path, serve, monkeypatch: pytest.MonkeyPatch) -> None:
    own, public = serve(status(404)), serve()
    monkeypatch.setenv("EBBING_MIRROR", own.url + "/")
    monkeypatch.setitem(MIRRORS, "mnist", (refusing(), public.url))
    folder = download("mnist")
    assert folder == tmp_path / "cache" / "ebbing" / "mnist"
    check(folder)
    assert own.asked == [(f"/some/where/mnist/{IMAGES}.gz", None)]
    assert public.asked[0] == (f"/some/where/{IMAGES}.gz", None)


def test_the_public_mirrors_are_two_hosts_by_https() -> None:
    assert SHA256.keys() == MIRRORS.keys()
    for name, mirrors in MIRRORS.items():
        assert tuple(SHA256[name]) == FILES
        assert len({mirror.split("/")[2] for mirror in mirrors}) == 2
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in mirrors)


@pytest.mark.parametrize(
    "mirror",
    [
        "",
        "example.org",
        "file:///data",
        "ftp://example.org",
        "http://",
        "http://a:b",
        "http://[::1",
        "http://ä.de/",
        "http://a b",
    ],
)
def test_mirrors_must_be_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    with pytest.raises(InputError, match="must be addresses that begin with https://"):
        download("mnist", directory=tmp_path, mirrors=["http://example.org", mirror])
    if mirror:
        monkeypatch.setenv("EBBING_MIRROR", mirror)
        with pytest.raises(InputError, match="EBBING_MIRROR"):
            download("mnist", directory=tmp_path)
    assert os.listdir(tmp_path) == []


def test_other_arguments_are_checked_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"`mirrors` .* but are none"):
        download("mnist", directory=tmp_path, mirrors=[])
    with pytest.raises(InputError, match="mnist, fashion-mnist to be downloaded, but is 'digits'"):
        download("digits")
    for timeout in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="`timeout` must be"):
            download("mnist", directory=tmp_path, timeout=timeout)


def test_what_stops_left_behind_is_removed_in_the_end(tmp_path: Path, serve) -> None:
    mirror = serve()
    for file in FILES[:2]:
        part_file(tmp_path / f"{file}.gz", "http://example.org").write_bytes(b"some")
    (tmp_path / FILES[0]).write_bytes(RAW[FILES[0]])
    (tmp_path / f".{FILES[1]}.gz.abcd1234.partial").write_bytes(b"another process is about to put this in place")
    download("mnist", directory=tmp_path, mirrors=[mirror.url])
    hidden = [name for name in os.listdir(tmp_path) if name.startswith(".")]
    assert hidden == [f".{FILES[1]}.gz.abcd1234.partial"]


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_real_files_are_the_published_ones(
    ebbing_data: Path, tmp_path: Path, serve, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.undo()  # the real checksums
    files = {f"{file}.gz": (ebbing_data / name / f"{file}.gz").read_bytes() for file in FILES}
    mirror = serve(cut(1_000_000), files=files)
    monkeypatch.setenv("EBBING_MIRROR", mirror.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    fetched = load(name, data_dir=tmp_path, download=True)
    assert mirror.ranges() == [None, "bytes=1000000-"]
    assert len(mirror.asked) == 5
    assert (len(fetched.train), len(fetched.test)) == (60_000, 10_000)
    assert sorted(os.listdir(tmp_path / name)) == sorted(files)
    load(name, data_dir=tmp_path, download=True)
    assert len(mirror.asked) == 5
