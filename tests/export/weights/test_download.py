"""Downloads from a real server: fresh, resumed, cut, refused, damaged, offline."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import os
import resource
import signal
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from export.calibration import coco_images
from export.weights.download import RemoteFile, cache_folder, checksum, fetch
from export.weights.find import find_weights
from export.zoo.lw_openpose.sources import SOURCES
from rpi_runtime.errors import DownloadError, InputError, OutputError, UsageError
from tests.export.rangeserver import Served, serving

DATA = np.random.default_rng(0).bytes(700_000)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIPOSE_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def server() -> Iterator[Served]:
    with serving(DATA) as served:
        yield served


def remote(url: str, data: bytes = DATA, *, size: int | None = None) -> RemoteFile:
    digest = hashlib.sha384(data).hexdigest()
    size = len(data) if size is None else size
    return RemoteFile(url=url, size=size, checksum=f"sha384:{digest}", path="set/weights.bin")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_fresh_then_from_the_cache_without_a_request(server: Served, cache: Path) -> None:
    target = fetch(remote(server.url))
    assert target == cache / "set/weights.bin"
    assert target.read_bytes() == DATA
    assert files(cache) == ["weights.bin"]
    assert fetch(remote(server.url)) == target
    assert server.requests == [""]


def test_a_cut_download_is_resumed_where_it_stopped(server: Served, cache: Path) -> None:
    server.cut_after = 300_000
    with pytest.raises(DownloadError, match=r"cut after 300000 of 700000 bytes; run this again to resume"):
        fetch(remote(server.url))
    assert files(cache) == ["weights.bin.part"]
    assert fetch(remote(server.url)).read_bytes() == DATA
    assert server.requests == ["", "bytes=300000-"]
    assert files(cache) == ["weights.bin"]


def test_a_server_without_ranges_starts_over(server: Served, cache: Path) -> None:
    server.ranges = False
    server.cut_after = 300_000
    with pytest.raises(DownloadError):
        fetch(remote(server.url))
    assert fetch(remote(server.url)).read_bytes() == DATA
    assert server.requests == ["", "bytes=300000-"]


@pytest.mark.parametrize("size", [len(DATA), 0])
def test_a_server_that_does_not_say_the_length(server: Served, size: int) -> None:
    server.length = False
    assert fetch(remote(server.url, size=size)).read_bytes() == DATA


def test_cut_without_a_length_is_caught_by_the_checksum(server: Served, cache: Path) -> None:
    server.length, server.cut_after = False, 300_000
    with pytest.raises(DownloadError, match="300000 bytes arrived and their checksum is not"):
        fetch(remote(server.url, size=0))
    assert files(cache) == []


def test_a_wrong_checksum_removes_the_file(server: Served, cache: Path) -> None:
    wrong = remote(server.url, DATA[:-1] + b"x")
    with pytest.raises(DownloadError) as caught:
        fetch(wrong)
    assert wrong.checksum in str(caught.value)
    assert "the damaged copy was removed" in str(caught.value)
    assert files(cache) == []
    assert len(server.requests) == 1


def test_a_damaged_cached_file_is_fetched_again(server: Served, cache: Path) -> None:
    target = fetch(remote(server.url))
    target.write_bytes(b"x" * len(DATA))
    assert fetch(remote(server.url)).read_bytes() == DATA
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [403, 404, 416, 500, 503])
def test_a_refusing_server_is_asked_once(server: Served, cache: Path, status: int) -> None:
    server.status = status
    with pytest.raises(DownloadError, match=rf"the server answered {status}") as caught:
        fetch(remote(server.url))
    assert str(cache / "set/weights.bin") in str(caught.value)
    assert len(server.requests) == 1
    assert files(cache) == []


def test_a_part_longer_than_the_file_starts_over_once(server: Served, cache: Path) -> None:
    (cache / "set").mkdir(parents=True)
    (cache / "set/weights.bin.part").write_bytes(b"y" * (len(DATA) + 5))
    assert fetch(remote(server.url, size=0)).read_bytes() == DATA
    assert server.requests == [f"bytes={len(DATA) + 5}-", ""]


def test_a_complete_part_is_only_verified(server: Served, cache: Path) -> None:
    (cache / "set").mkdir(parents=True)
    (cache / "set/weights.bin.part").write_bytes(DATA)
    assert fetch(remote(server.url)).read_bytes() == DATA
    assert server.requests == []


def test_two_processes_fetch_the_same_file_and_each_gets_it_whole(server: Served, cache: Path) -> None:
    """Both wrote into one file, which then had the pieces of both, or was renamed under the other's hands."""
    server.pause_s = 0.05
    with ThreadPoolExecutor(
        6
    ) as pool:  # descriptors of one process exclude each other as those of several do
        found = [f.result() for f in [pool.submit(fetch, remote(server.url)) for _ in range(6)]]
    assert {path.read_bytes() for path in found} == {DATA}
    assert files(cache) == ["weights.bin"]


def test_what_another_process_fetches_is_left_alone(server: Served, cache: Path) -> None:
    part = cache / "set/weights.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of the other")
    with part.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert fetch(remote(server.url)).read_bytes() == DATA
    assert part.read_bytes() == b"of the other"
    assert files(cache) == ["weights.bin", "weights.bin.part"]


def test_a_planted_link_is_not_followed(server: Served, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "dear").write_bytes(b"dear")
    (cache / "set").mkdir(parents=True)
    (cache / "set/weights.bin.part").symlink_to(tmp_path / "dear")
    with pytest.raises(OutputError, match="cannot be written"):
        fetch(remote(server.url))
    assert (tmp_path / "dear").read_bytes() == b"dear"


def test_offline_says_what_to_fetch_from_where_and_where_to_put_it(cache: Path) -> None:
    file = remote(f"http://127.0.0.1:{closed_port()}/weights.bin")
    with pytest.raises(DownloadError) as caught:
        fetch(file)
    for part in (file.url, str(cache / "set/weights.bin"), file.checksum, "cannot be reached"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(cache) == []


def test_a_file_put_there_by_hand_needs_no_network(cache: Path) -> None:
    (cache / "set").mkdir(parents=True)
    (cache / "set/weights.bin").write_bytes(DATA)
    assert fetch(remote(f"http://127.0.0.1:{closed_port()}/x")).read_bytes() == DATA


def test_a_cache_that_cannot_be_written(server: Served, cache: Path) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_bytes(b"")  # a file where the folder should be
    with pytest.raises(OutputError, match="PIPOSE_CACHE"):
        fetch(remote(server.url))


def test_a_full_disk_is_an_output_error(server: Served, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, *args: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", Full)
    with pytest.raises(OutputError, match="No space left"):
        fetch(remote(server.url))


def test_a_disk_that_fills_up_is_an_output_error(server: Served, cache: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))  # a write that no longer fits fails
        with pytest.raises(OutputError, match="File too large"):
            fetch(remote(server.url, size=0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)
    assert fetch(remote(server.url)).read_bytes() == DATA


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.EHOSTUNREACH, "No route to host"),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
        ssl.SSLError("decryption failed or bad record mac"),
        TimeoutError("timed out"),
        http.client.IncompleteRead(b""),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_network_that_fails_on_the_way_is_no_full_disk(
    server: Served, cache: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    true = http.client.HTTPResponse.read
    chunks = iter([True, False])

    def read(answer: http.client.HTTPResponse, amount: int | None = None) -> bytes:
        if next(chunks):
            return true(answer, 200_000)
        raise failure

    with monkeypatch.context() as patch, pytest.raises(DownloadError) as caught:
        patch.setattr(http.client.HTTPResponse, "read", read)
        fetch(remote(server.url))
    assert "the connection broke after 200000 bytes" in str(caught.value)
    assert "run this again to resume" in str(caught.value)
    assert fetch(remote(server.url)).read_bytes() == DATA
    assert server.requests == ["", "bytes=200000-"]


@pytest.mark.parametrize("failure", [OSError(errno.ENETUNREACH, "Network is unreachable"), ssl.SSLError("x")])
def test_a_network_that_fails_at_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise failure

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", refuse)
    with pytest.raises(DownloadError, match="cannot be reached"):
        fetch(remote("http://127.0.0.1/weights.bin"))


def test_a_cached_file_that_may_not_be_read_is_bad_input(
    server: Served, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(remote(server.url))

    def refuse(path: Path, *args: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"weights\.bin: cannot be read \(Permission denied\)"):
        fetch(remote(server.url))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/etc/passwd"])
def test_only_http_is_fetched(url: str) -> None:
    with pytest.raises(DownloadError, match="only http and https"):
        remote(url)


def test_git_checksum_is_gits_own(tmp_path: Path) -> None:
    file = tmp_path / "blob"
    file.write_bytes(DATA)
    command = ["git", "hash-object", "--no-filters", str(file)]
    expected = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert checksum(file, "git") == expected


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PIPOSE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "pipose"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "pipose"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `docker run --user 12345`."""
    for name in ("PIPOSE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    with pytest.raises(OutputError, match="set PIPOSE_CACHE"):
        cache_folder()


@pytest.mark.parametrize("name", SOURCES)
def test_published_sources_are_whole(name: str) -> None:
    sizes = {"sha384": 96, "sha256": 64, "git": 40}
    for file in SOURCES[name].files:
        kind, _, digest = file.checksum.partition(":")
        assert len(digest) == sizes[kind]
        assert file.url.startswith("https://")
        assert file.url.endswith(Path(file.path).name)


def test_a_known_source_without_network_names_all_of_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(DownloadError) as caught:
        find_weights("omz", SOURCES)
    for file in SOURCES["omz"].files:
        for part in (file.url, str(cache / file.path), file.checksum):
            assert part in str(caught.value)


def test_a_proxy_counts_from_when_it_is_set(
    server: Served, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(DownloadError, match="cannot be reached"):
        fetch(remote(server.url))
    monkeypatch.delenv("http_proxy")
    assert fetch(remote(server.url)).read_bytes() == DATA


def test_calibration_images_are_fetched_one_by_one_and_cached(
    server: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digest = hashlib.sha256(DATA).hexdigest()
    listing = tmp_path / "list.tsv"
    listing.write_text("".join(f"{i:012}.jpg\t{len(DATA)}\t{digest}\n" for i in range(3)))
    monkeypatch.setattr(coco_images, "LIST", listing)
    monkeypatch.setattr(coco_images, "BASE", server.url + "/")
    for _ in range(2):
        paths = coco_images.fetch_images(2)
        assert [p.read_bytes() for p in paths] == [DATA, DATA]
    assert len(server.requests) == 2
    with pytest.raises(UsageError, match="3 can be fetched"):
        coco_images.fetch_images(4)
    server.status = 503
    with pytest.raises(DownloadError, match="--calibration"):
        coco_images.fetch_images(3)


def test_the_list_of_calibration_images_names_each_once() -> None:
    files = coco_images.listed_images()
    assert len(files) >= 32
    assert len({f.url for f in files}) == len({f.checksum for f in files}) == len(files)
    assert all(f.size > 0 for f in files)
