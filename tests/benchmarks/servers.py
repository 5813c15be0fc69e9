"""Network cameras on this machine: they open, close, and are held up."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import signal
import subprocess
import threading
import time
from collections.abc import Sequence

from rpi_runtime.capture.pictures import encode_picture
from tests.rpi_runtime.pictures import gradient

SECRET = "camera-password"
SYSTEM_PYTHON = "/usr/bin/python3"
_GST = "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0')"
_RTSP = (
    _GST
    + """
import sys
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    "( videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1,format=I420"
    " ! jpegenc ! rtpjpegpay name=pay0 )"
)
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
GLib.MainLoop().run()
"""
)


class MjpegServer:
    """Motion JPEG over HTTP; the address carries a password that no log may show.

    Parameters
    ----------
    port : int
    fps : float
    jpegs : sequence of bytes, optional
        One after the other, again and again; default: 20 pictures of 320x240 that move.
    """

    def __init__(self, port: int = 18555, *, fps: float = 20.0, jpegs: Sequence[bytes] = ()) -> None:
        self.url = f"http://user:{SECRET}@127.0.0.1:{port}/"
        self._port, self._period_s = port, 1 / fps
        self._jpegs = jpegs or [encode_picture(gradient(320, 240, shift=5 * n), ".jpg") for n in range(20)]
        self._server: http.server.ThreadingHTTPServer | None = None
        self._flows = threading.Event()
        self._flows.set()
        self.open()

    def open(self) -> None:
        """Listen, unless it does already."""
        if self._server is None:
            http.server.ThreadingHTTPServer.allow_reuse_address = True
            self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self._port), self._handler())
            threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Hang up on everybody."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def hold(self, held: bool) -> None:
        """Send nothing more on connections that stay open, or go on."""
        if held:
            self._flows.clear()
        else:
            self._flows.set()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.send_pictures()

            def send_pictures(self) -> None:
                due = time.monotonic()
                for jpeg in itertools.cycle(camera._jpegs):
                    while not camera._flows.wait(0.1) and camera._server is self.server:
                        due = time.monotonic()
                    if camera._server is not self.server:
                        return
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                    due += camera._period_s
                    time.sleep(max(due - time.monotonic(), 0))

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class RtspServer:
    """GStreamer's RTSP server in a process of its own, 25 frames per second.

    Debian: python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good
    """

    def __init__(self, port: int = 18554) -> None:
        self.url = f"rtsp://127.0.0.1:{port}/live"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.open()
        time.sleep(2)

    @staticmethod
    def possible() -> bool:
        """Whether the packages are there."""
        with contextlib.suppress(OSError):
            return (
                subprocess.run([SYSTEM_PYTHON, "-c", _GST], capture_output=True, check=False).returncode == 0
            )
        return False

    def open(self) -> None:
        """Start, unless it runs already."""
        if self._process is None:
            command = [SYSTEM_PYTHON, "-c", _RTSP, str(self._port)]
            self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def hold(self, held: bool) -> None:
        """Stop the process in its tracks, or let it go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP if held else signal.SIGCONT)
