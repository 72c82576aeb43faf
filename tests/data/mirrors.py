"""A server on this machine that gives files, and what can go wrong with it."""

import gzip
import http.server
import os
import random
import socket
import threading
from collections import deque
from pathlib import Path

from ebbing.data.search import FILES

IMAGES = FILES[0]
RAW = {file: random.Random(file).randbytes(150_000 if file == IMAGES else 900) for file in FILES}  # packs to itself


def packed(*, stamp: int = 0) -> dict[str, bytes]:
    """Packed files by name; the stamp makes them differ as those of two mirrors do."""
    return {f"{file}.gz": gzip.compress(raw, mtime=stamp) for file, raw in RAW.items()}


class Mirror(http.server.ThreadingHTTPServer):
    """Serves files by their last name, honestly but for the first requests: these meet one of `tricks` each."""

    def __init__(self, files: dict[str, bytes], *tricks: object) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.tricks = files, deque(tricks)
        self.asked: list[tuple[str, str | None]] = []  # path, range
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/some/where"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def ranges(self, file: str = IMAGES) -> list[str | None]:
        return [asked for path, asked in self.asked if path.endswith(f"/{file}.gz")]

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the game."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Range"]))
        body = self.server.files[self.path.rsplit("/")[-1]]
        trick = self.server.tricks.popleft() if self.server.tricks else honest
        trick(self, body)

    def start(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def honest(handler: Handler, body: bytes, *, most: int | None = None) -> None:
    """The whole file, or what was asked for of it; at most so many bytes before the connection is cut."""
    begin = int((handler.headers["Range"] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
    if begin >= len(body) > 0:
        handler.start(416, Content_Range=f"bytes */{len(body)}")
        return
    if "Range" in handler.headers:
        found = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        handler.start(206, Content_Length=len(body) - begin, Content_Range=found)
    else:
        handler.start(200, Content_Length=len(body))
    handler.wfile.write(body[begin:][:most])


def cut(most: int):
    return lambda handler, body: honest(handler, body, most=most)


def stall(most: int):
    def trick(handler: Handler, body: bytes) -> None:
        honest(handler, body, most=most)
        handler.server.over.wait()

    return trick


def whole(handler: Handler, body: bytes) -> None:
    """Does not know ranges."""
    handler.start(200, Content_Length=len(body))
    handler.wfile.write(body)


def shifted(handler: Handler, body: bytes) -> None:
    handler.start(206, Content_Length=len(body) - 7, Content_Range=f"bytes 7-{len(body) - 1}/{len(body)}")
    handler.wfile.write(body[7:])


def status(code: int, reason: str | None = None):
    def trick(handler: Handler, body: bytes) -> None:
        handler.send_response(code, reason)
        handler.end_headers()

    return trick


def other(content: bytes):
    return lambda handler, body: honest(handler, content)


def unsized(content: bytes | None = None, repeat: int = 1):
    def trick(handler: Handler, body: bytes) -> None:
        handler.start(200)
        for _ in range(repeat):
            handler.wfile.write(content or body)

    return trick


def announce(size: int):
    return lambda handler, body: (handler.start(200, Content_Length=size), handler.wfile.write(body))


def chunked(most: int | None = None):
    def trick(handler: Handler, body: bytes) -> None:
        handler.start(200, Transfer_Encoding="chunked")
        sent = body[:most]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent) + (b"" if most else b"0\r\n\r\n"))

    return trick


def redirect(to: str):
    return lambda handler, body: handler.start(302, Location=to + handler.path)


def hang_up(handler: Handler, body: bytes) -> None:
    handler.close_connection = True


def refusing() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def check(folder: Path) -> None:
    """The four files with the published content, and nothing else."""
    assert sorted(os.listdir(folder)) == sorted(packed())
    for file, raw in RAW.items():
        assert gzip.decompress((folder / f"{file}.gz").read_bytes()) == raw
