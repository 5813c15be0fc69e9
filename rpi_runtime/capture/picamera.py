"""The Raspberry Pi camera, through picamera2: the ISP scales, and buffers are mapped, not copied.

Facts of picamera2 that shape this file: the format called RGB888 is B, G, R in memory, which is what the
pipeline wants; a requested size may be adjusted, so the configuration is read back; rows may be padded to
the ISP's stride; a request holds one of few buffers until it is released; a job that timed out stays in its
queue, and has to be cancelled before the camera can be stopped. Source: The Picamera2 Library, Raspberry Pi
Ltd, and the package's documentation strings.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from rpi_runtime.capture.source import Delivered, StalledError, Wanted
from rpi_runtime.errors import SourceError
from rpi_runtime.optional import load
from rpi_runtime.poses import Frame, Image

FORMAT = "RGB888"
BUFFERS = 4  # one in the slot, one in preprocessing, two for the camera


class PicameraSource:
    """One camera on the CSI port.

    Parameters
    ----------
    number : int
        Number of the camera, as in `rpicam-hello --list-cameras`.
    """

    live = True

    def __init__(self, number: int = 0) -> None:
        self._number = number
        self._camera: Any = None
        self._mapped: Any = None
        self._job: Any = None
        self._shape = (0, 0)
        self._stride = 0
        self._index = 0
        self._held = 0
        self._given_back = threading.Condition()

    def configure(self, wanted: Wanted) -> Delivered:
        """Open the camera, request the wanted size in B, G, R from the ISP, and read back what it will deliver."""
        picamera2 = load("picamera2", "the picamera source and its cameras")
        self._mapped = picamera2.MappedArray
        try:
            self._camera = picamera2.Picamera2(self._number)
            self._camera.configure(self._request(wanted))
        except (RuntimeError, IndexError, ValueError) as err:
            raise SourceError(
                f"camera {self._number}: cannot be opened ({err}); see `rpicam-hello --list-cameras`, and "
                "whether another program uses it"
            ) from err
        main = self._camera.camera_configuration()["main"]
        if main["format"] != FORMAT:
            raise SourceError(f"camera {self._number}: delivers {main['format']}; expected {FORMAT}")
        width, height = main["size"]
        self._shape, self._stride = (height, width), main["stride"]
        return Delivered(
            width=width,
            height=height,
            fps=wanted.fps,
            what=f"camera {self._number}, {self._model()}, {FORMAT}",
        )

    def start(self) -> None:
        """Start the sensor."""
        self._camera.start()

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame, a view of the camera's buffer, which `Frame.done` gives back."""
        if self._job is None:
            self._job = self._camera.capture_request(wait=False)
        try:
            request = self._camera.wait(self._job, timeout=timeout_s)
        except TimeoutError as err:  # the job stays first in the queue, so the next call waits for it again
            raise StalledError(f"camera {self._number}: no frame for {timeout_s:g} s") from err
        self._job = None
        mapped = self._mapped(request, "main", reshape=False, write=False)
        image = self._view(mapped.__enter__().array)
        taken = _monotonic_ns(request.get_metadata().get("SensorTimestamp"))
        index = self._index
        self._index += 1
        with self._given_back:
            self._held += 1

        def release() -> None:
            mapped.__exit__(None, None, None)
            request.release()
            with self._given_back:
                self._held -= 1
                self._given_back.notify_all()

        return Frame(image=image, index=index, timestamp_ns=taken, taken_ns=taken, release=release)

    def stop(self) -> None:
        """Wait shortly for frames that are still in use, then stop and close the camera."""
        if self._camera is None:
            return
        with self._given_back:
            self._given_back.wait_for(lambda: self._held == 0, timeout=0.3)
        camera, self._camera = self._camera, None
        camera.cancel_all_and_flush()
        camera.close()

    def _request(self, wanted: Wanted) -> dict[str, Any]:
        """Return a video configuration with the wanted size and rate, and fresh frames instead of queued ones."""
        main: dict[str, Any] = {"format": FORMAT}
        if wanted.width and wanted.height:
            main["size"] = (wanted.width, wanted.height)
        controls: dict[str, Any] = {}
        if wanted.fps:
            duration_us = round(1e6 / wanted.fps)
            controls["FrameDurationLimits"] = (duration_us, duration_us)
        made: dict[str, Any] = self._camera.create_video_configuration(
            main=main, controls=controls, buffer_count=BUFFERS, queue=False
        )
        return made

    def _view(self, buffer: Image) -> Image:
        """View (bytes,) as (H, W, 3), without the padding at the end of each row."""
        height, width = self._shape
        rows = buffer[: height * self._stride].reshape(height, self._stride)
        return rows[:, : width * 3].reshape(height, width, 3)

    def _model(self) -> str:
        return str(self._camera.camera_properties.get("Model", "unknown sensor"))


def _monotonic_ns(stamp: int | None) -> int:
    """Return the sensor's time on `time.monotonic_ns`.

    libcamera counts from boot, including (CLOCK_BOOTTIME) or excluding the time of suspension. A Pi is never suspended,
    so both clocks agree there. A time in the future is taken as CLOCK_BOOTTIME.
    """
    now = time.monotonic_ns()
    if stamp is None:
        return now
    if stamp > now:
        stamp -= time.clock_gettime_ns(time.CLOCK_BOOTTIME) - now
    return stamp
