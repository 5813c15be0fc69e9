from __future__ import annotations

import os
from pathlib import Path

import pytest

from rpi_runtime.errors import InputError
from rpi_runtime.inputs import open_input, parse_json, parse_toml, read_input, real_path


def test_a_file_is_opened_through_links(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to("a")
    assert read_input(tmp_path / "b") == b"abc"
    with pytest.raises(InputError, match="3 bytes, expected at most 2"):
        read_input(tmp_path / "b", most=2)


def test_a_path_without_links_is_found_whatever_the_links_are(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "loop").symlink_to("loop")
    assert real_path(tmp_path / "link") == tmp_path / "a"
    assert real_path(tmp_path / "loop") == tmp_path / "loop"
    assert real_path(Path("a\0b")) == Path.cwd() / "a\0b"


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is a named pipe"):
        open_input(tmp_path / "pipe")
    with pytest.raises(InputError, match="is a device"):
        open_input(Path("/dev/zero"))
    with pytest.raises(IsADirectoryError):
        open_input(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_input(tmp_path / "none")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_in_every_encoding_that_it_may_have(encoding: str) -> None:
    assert parse_json('{"ü": [1.5]}'.encode(encoding), "f", "") == {"ü": [1.5]}


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[NaN]", "[Infinity]", "[-Infinity]", "[1" + "0" * 5000 + "]", "{", "", "[1] 2"],
)
def test_what_is_not_json_is_one_line(text: str) -> None:
    for data in (text, text.encode()):
        with pytest.raises(InputError, match=r"f: not valid JSON .*; do this"):
            parse_json(data, "f", "do this")


@pytest.mark.parametrize(
    "data",
    [
        b"a = " + b"[" * 100_000,
        b"a = 1" + b"0" * 5000,
        b"a =",
        b"\xff",
        b"a.b = 1\na.b.c = 2",
        b"[" + b"a." * 5000 + b"b]\n",
    ],
)
def test_what_is_not_toml_is_one_line(data: bytes) -> None:
    with pytest.raises(InputError, match=r"f: not valid TOML .*; do this"):
        parse_toml(data, "f", "do this")
    assert parse_toml(b"\xef\xbb\xbfa = 1", "f", "") == {"a": 1}
