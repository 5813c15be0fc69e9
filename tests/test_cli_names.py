"""One name for one thing: every command has the same options for the same things, and lists its own exit codes."""

from __future__ import annotations

import importlib
import io
import re
from collections.abc import Callable
from functools import cache

import pytest

from rpi_runtime import __main__ as runtime
from rpi_runtime.command_line import MEANINGS, Parser, exit_codes
from tests.test_cli_missing import commands

RUNTIME = [*runtime.COMMANDS, "service install", "service uninstall", "service run"]
EVERY = [*commands(), *RUNTIME]
COMMON = {
    "--coco": "DIR",
    "--split": "SPLIT",
    "--calibration": "PICTURES",
    "--weights": "SOURCE",
    "--size": "WxH",
    "--threads": "N",
    "--frames": "N",
    "--refine": "FILE",
    "--boxes": "gt|FILE.json",
    "--json": "",
    "--verbose": "",
}  # options that several commands have, each with what follows it


def main_of(command: str) -> Callable[[list[str]], int]:
    """Return what runs a command with some words."""
    if command in RUNTIME:
        return lambda words: runtime.main([*command.split(), *words])
    name = "export.train.command" if command == "export.train" else command
    main: Callable[[list[str]], int] = importlib.import_module(name).main
    return main


@cache
def said(command: str, *words: str) -> tuple[int | str | None, str, str]:
    """Return a command's exit code, its standard output and its standard error."""
    capture = pytest.MonkeyPatch()
    out, err = io.StringIO(), io.StringIO()
    with capture.context() as patch:
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        with pytest.raises(SystemExit) as ended:
            main_of(command)(list(words))
    return ended.value.code, out.getvalue(), err.getvalue()


def help_of(command: str) -> str:
    """Return a command's help with single spaces."""
    if command == "export.train":
        pytest.importorskip("torch")
    return " ".join(said(command, "--help")[1].split())


def usage_of(command: str) -> str:
    """Return the first paragraph of a command's help, which has every option once."""
    if command == "export.train":
        pytest.importorskip("torch")
    return " ".join(said(command, "--help")[1].split("\n\n")[0].split())


def codes_in(text: str) -> dict[int, str]:
    """Return the exit codes that a help lists, with their meanings."""
    listed = text.partition("exit codes: ")[2]
    found = re.findall(r"(?:^|, )(\d{1,3}) (.+?)(?=, \d{1,3} |$)", listed)
    return {int(code): meaning for code, meaning in found}


@pytest.mark.parametrize("command", EVERY)
def test_a_help_lists_the_exit_codes_of_this_command(command: str) -> None:
    text = help_of(command)
    codes = codes_in(text)
    assert {0, 1, 2, 130} <= codes.keys() <= {*MEANINGS, 78}, codes
    assert not re.search(r"\b(as|those) of\b", text.partition("exit codes: ")[2].replace("78 of ", "")), codes
    assert list(codes) == sorted(codes)


@pytest.mark.parametrize("command", EVERY)
def test_options_for_the_same_thing_have_the_same_name(command: str) -> None:
    assert "-v, --verbose" in help_of(command)
    options = dict(re.findall(r"(?<!\w)(--?[a-z][\w-]*)(?: ([^\s\]]+))?", usage_of(command)))
    assert options
    assert not options.keys() & {"--evaluate", "--results", "--name", "--images", "--file"}
    shared = options.keys() & COMMON.keys()
    assert {o: options[o] for o in shared} == {o: COMMON[o] for o in shared}


@pytest.mark.parametrize("command", EVERY)
def test_a_mistyped_option_is_named_with_the_nearest_one(command: str) -> None:
    options = re.findall(r"--[a-z][\w-]{3,}", usage_of(command))
    option = next((o for o in options if o != "--verbose"), "--verbose")
    code, out, err = said(command, f"{option}x")
    assert (code, out) == (2, "")
    assert f"did you mean '{option}'?" in err.splitlines()[-1]


@pytest.mark.parametrize("command", EVERY)
def test_no_option_is_guessed_from_its_beginning(command: str) -> None:
    code, _, err = said(command, "--verbos")
    assert code == 2
    assert "did you mean '--verbose'?" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("command", "former", "present"),
    [
        ("export.tflite", "--evaluate", "--coco"),
        ("export.bundle", "--name", "--model"),
        ("quant.evaluate", "--results", "--output"),
        ("quant.card", "--calibration", "--manifest"),
    ],
)
def test_a_former_name_works_and_no_help_has_it(command: str, former: str, present: str) -> None:
    assert present in usage_of(command)
    assert former not in usage_of(command)
    _, _, err = said(command, former, "--not-there")
    assert former not in err.replace("--not-there", "").partition("error:")[2]


def test_former_names_end_where_options_end() -> None:
    parser = Parser(prog="p", former={"--old": "--new"})
    parser.add_argument("--new")
    parser.add_argument("rest", nargs="*")
    given = parser.parse_args(["--old=a", "--", "--old"])
    assert (given.new, given.rest) == ("a", ["--old"])


def test_a_mistyped_option_of_an_action_is_named_by_the_actions_own() -> None:
    _, _, err = said("service", "install", "--dry-rn")
    assert "did you mean '--dry-run'?" in err
    _, _, err = said("service run", "--confg", "x")
    assert "unknown --confg, did you mean '--config'?" in err


def test_a_negative_number_is_no_option() -> None:
    parser = Parser(prog="p")
    parser.add_argument("--max", type=int, required=True)
    with pytest.raises(SystemExit):
        parser.parse_args(["-5"])


def test_codes_are_sorted_and_what_a_command_says_of_one_replaces_the_common_meaning() -> None:
    text = exit_codes(8, 5, own={3: "no such file"})
    assert list(codes_in(" ".join(text.split()))) == [0, 1, 2, 3, 5, 8, 130]
    assert "3 no such file" in text
    assert all(len(line) <= 118 for line in text.splitlines())
