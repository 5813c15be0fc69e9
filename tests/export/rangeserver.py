"""A small HTTP server on 127.0.0.1 that serves one file, with or without ranges, and misbehaves on request."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server does; `requests` collects the Range header (or "") of each request."""

    data: bytes
    ranges: bool = True
    cut_after: int = 0  # close the connection after so many bytes, once
    status: int = 0  # answer with this instead
    length: bool = True
    pause_s: float = 0.0  # before each half of the body
    requests: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(data: bytes) -> Iterator[Served]:
    """Serve until the block ends."""
    served = Served(data)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            served.requests.append(asked)
            match = re.fullmatch(r"bytes=(\d+)-", asked)
            start = int(match[1]) if match and served.ranges else 0
            if served.status:
                self.send_error(served.status)
                return
            if start >= len(served.data) and start:
                self.send_error(416)
                return
            body = served.data[start:]
            self.send_response(206 if start else 200)
            if served.length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if served.cut_after:
                body, served.cut_after = body[: served.cut_after], 0
            for half in (body[: len(body) // 2], body[len(body) // 2 :]):
                time.sleep(served.pause_s)
                self.wfile.write(half)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            pass  # a client that goes away, as some tests want

    server = Server(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_address[1]}/weights.bin"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
