"""A stand-in for picamera2 that keeps to its documented interface, faults included.

What it imitates: RGB888 is B, G, R in memory; sizes are made even and rows are padded to 64 bytes; a request
holds one of `buffer_count` buffers until it is released, and without a free one no frame comes; a job that
was waited for in vain stays first in the queue, and with it there `stop` waits for ever; mapped arrays are
valid inside their context only.
"""

from __future__ import annotations

import threading
import time

import numpy as np

ALIGN = 64


class Camera:
    """The hardware: shared by all `Picamera2` objects of a test."""

    def __init__(self):
        self.present = True
        self.stalled = False
        self.opened = 0
        self.model = "imx708"
        self.format = None  # instead of the requested one


class Job:
    def __init__(self, result=None):
        self.result = result


class Request:
    def __init__(self, camera, index):
        self.camera, self.index = camera, index
        self.released = False

    def get_metadata(self):
        return {"SensorTimestamp": time.monotonic_ns() - 30_000_000, "ExposureTime": 10_000}

    def release(self):
        assert not self.released, "released twice"
        self.released = True
        if self.camera.is_open:
            self.camera.free += 1


class MappedArray:
    def __init__(self, request, stream, reshape=True, write=True):
        assert not write, "frames are only read: mapping them for writing costs a cache flush"
        assert not reshape, "reshaping copies a frame whose rows are padded"
        self.request, self.array = request, None

    def __enter__(self):
        assert not self.request.released
        self.array = self.request.camera.memory[self.request.index % 4]
        return self

    def __exit__(self, *_):
        assert not self.request.released, "unmapped after its buffer went back"
        self.array = None


class Picamera2:
    hardware = Camera()

    def __init__(self, number=0):
        if not self.hardware.present:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        assert self.hardware.opened == 0, "Device or resource busy"
        self.hardware.opened += 1
        self.is_open, self.started, self.queue = True, False, []
        self.camera_properties = {"Model": self.hardware.model}
        self.lock = threading.Lock()
        self.frames = 0

    def create_video_configuration(self, main, controls, buffer_count, queue):
        assert queue is False, "queued frames are old frames"
        width, height = main.get("size", (1280, 720))
        size = (width - width % 2, height - height % 2)
        return {"main": {**main, "size": size}, "buffer_count": buffer_count, "controls": controls}

    def configure(self, config):
        width, height = config["main"]["size"]
        stride = -(-width * 3 // ALIGN) * ALIGN
        config["main"]["stride"] = stride
        config["main"]["format"] = self.hardware.format or config["main"]["format"]
        self.config, self.free = config, config["buffer_count"]
        self.memory = np.zeros((4, height * stride + 4096), np.uint8)  # buffers end at a page
        rows = self.memory[:, : height * stride].reshape(4, height, stride)
        rows[:, :, 0 : width * 3 : 3] = 10  # blue
        rows[:, :, 1 : width * 3 : 3] = 20
        rows[:, :, 2 : width * 3 : 3] = 30
        rows[:, :, width * 3 :] = 255  # never to be seen

    def camera_configuration(self):
        return self.config

    def start(self):
        self.started = True

    def capture_request(self, wait=None):
        assert wait is False, "waits without a time-out"
        job = Job()
        self.queue.append(job)
        return job

    def wait(self, job, timeout=None):
        assert self.queue[0] is job, "an earlier job blocks the queue"
        if self.hardware.stalled or self.free == 0:
            time.sleep(timeout)
            raise TimeoutError
        if not self.hardware.present:
            raise RuntimeError("camera frontend has timed out")
        self.queue.pop(0)
        self.free -= 1
        self.frames += 1
        return Request(self, self.frames)

    def cancel_all_and_flush(self):
        self.queue.clear()

    def close(self):
        assert not self.queue, "would wait for ever behind a job that never ends"
        self.is_open = self.started = False
        self.hardware.opened -= 1
