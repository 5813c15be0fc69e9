"""What all command lines share: options are spelt out, a mistyped one is named, and every help lists its exit codes."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from rpi_runtime.masking import mask
from rpi_runtime.suggest import did_you_mean

MEANINGS = {
    0: "done",
    1: "another error that you can act on",
    2: "wrong usage",
    3: "bad input",
    4: "a download failed",
    5: "an output could not be written",
    6: "a conversion step changed what the network computes",
    7: "the gate refused the file",
    8: "a package is not installed",
    130: "Ctrl-C",
}
ALWAYS = (0, 1, 2, 130)  # any command may end with these
VERBOSE = "say more on standard error; of an error, where it comes from"
AS_JSON = "print the result as JSON, and nothing else on standard output"
COCO = "a folder in COCO's layout: annotations/ and the pictures"
SPLIT = "the split to measure on (default: %(default)s)"
_OPTION = re.compile(r"--?[A-Za-z]")  # unlike a negative number


def exit_codes(*codes: int, own: Mapping[int, str] | None = None) -> str:
    """Return the paragraph of a help that lists a command's exit codes.

    Parameters
    ----------
    *codes : int
        Of `MEANINGS`, besides those of `ALWAYS`.
    own : mapping, optional
        Codes with what they mean to this command.

    Examples
    --------
    >>> print(exit_codes(own={3: "no such file"}))
    exit codes: 0 done, 1 another error that you can act on, 2 wrong usage, 3 no such file, 130 Ctrl-C
    """
    meanings = {code: MEANINGS[code] for code in (*ALWAYS, *codes)} | dict(own or {})
    words = [f"{code}\N{NO-BREAK SPACE}{meanings[code]}" for code in sorted(meanings)]
    lines = textwrap.wrap("exit codes: " + ", ".join(words), 118, subsequent_indent=" " * 12)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


class Parser(argparse.ArgumentParser):
    """Names the nearest valid option if one is mistyped. Refuses abbreviations: with them, new options break scripts.

    Parameters
    ----------
    former : mapping of str to str, optional
        Options under the name that they had in earlier versions, with the present one. They work, and no help has them.
    **settings
        As of `argparse.ArgumentParser`.
    """

    def __init__(self, *, former: Mapping[str, str] | None = None, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**settings, allow_abbrev=False)
        self._former, self._given = dict(former or {}), list[str]()

    def parse_known_args(  # type: ignore[override]  # typeshed has overloads here
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse, after former options have got their present names."""
        words = list(sys.argv[1:] if args is None else args)
        end = words.index("--") if "--" in words else len(words)
        self._given = [self._present(word) for word in words[:end]]
        return super().parse_known_args([*self._given, *words[end:]], namespace)

    def error(self, message: str) -> NoReturn:
        """Print usage and message, and exit with 2."""
        known = [option for option, shown in self._options() if shown]
        valid = {option for option, _ in self._options()}
        for word in self._given:
            name = word.partition("=")[0]
            if _OPTION.match(word) and name not in valid:
                unknown = "" if message.startswith("unrecognized arguments") else f"unknown {name}, "
                message += f"; {unknown}{did_you_mean(name, known)}"
                break
        super().error(mask(message))

    def _present(self, word: str) -> str:
        name, equals, value = word.partition("=")
        return f"{self._former.get(name, name)}{equals}{value}"

    def _options(self) -> Iterator[tuple[str, bool]]:
        """Every option, and whether the help shows it; those of a chosen action with them."""
        for action in self._actions:
            yield from ((option, action.help != argparse.SUPPRESS) for option in action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                for name, parser in action.choices.items():
                    if name in self._given:
                        yield from parser._options()
