"""What programs of others say of ours: ``python -m tests.e2e.judges [--model M.tflite]``.

vela      Arm's compiler for the Ethos-U accelerators: every operator of the INT8 file is integer to it, none is left
          to a processor. Of PyPI, in an environment of its own. Needs --model.
promtool  Prometheus' own check of what /metrics says (Debian: prometheus).
prometheus  scrapes /metrics and answers a question about what it has heard.
ffmpeg    reads /stream.mjpg as a camera (Debian: ffmpeg).
ajv       a JSON Schema validator in JavaScript, in its strict mode: the schema that /api/schema serves, and messages.
          Of the npm registry; needs node.
homeassistant  its own schemas of what is discovered by MQTT, on our seven descriptions, and on spoiled ones. Of
          PyPI, in an environment of its own of 600 MB; the newest that a Python on this machine runs.
axe       Deque's rules of accessibility, in Chromium, on the live page and its form for the token and on an export's
          report; at a desk and on a phone, light and dark. Of the npm registry; needs chromium.

Prints a line each. A judge that cannot be had here is skipped with the reason; one that objects makes the exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.report.report import render
from rpi_runtime.sinks.mqtt.homeassistant import describe_device
from tests.e2e.checkout import find_python
from tests.e2e.commands import which_missing
from tests.export.report.test_report import outcome
from tests.rpi_runtime.sinks.mqtt.mosquitto import free_port, wait_for
from tests.rpi_runtime.sinks.web.browser import browsing
from tests.rpi_runtime.sinks.web.looking import SCHEMES, SIZES, set_view
from tests.rpi_runtime.sinks.web.serving import TOKEN, Feeder, page

PATIENCE_S = 180
FRAMES = 10
AJV = """
const Ajv = require("ajv/dist/2020");
const {schema, good, bad} = JSON.parse(require("fs").readFileSync(0));
const validate = new Ajv({strict: true, allErrors: true}).compile(schema);
for (const message of good) if (!validate(message)) { console.log(JSON.stringify(validate.errors)); process.exit(1); }
for (const message of bad) if (validate(message)) { console.log("took what is wrong"); process.exit(1); }
"""


BROKEN_RULES = """axe.run().then(({violations}) => violations.map(({id, nodes}) =>
    `${id}: ${nodes[0].html.slice(0, 120)}: ${nodes[0].failureSummary.slice(0, 200)}`))"""


HOME_ASSISTANT = """
import asyncio, importlib, json, sys
from homeassistant.components.mqtt.discovery import TOPIC_MATCHER
from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.helpers import frame

async def judge(mails):
    frame.async_setup(HomeAssistant("."))  # the templates of a description are compiled by a running instance
    said = []
    for topic, payload in mails:
        component = importlib.import_module(f"homeassistant.components.mqtt.{topic.split('/')[1]}")
        try:
            assert TOPIC_MATCHER.match(topic.partition("/")[2]), "not a topic of discovery"
            component.DISCOVERY_SCHEMA(payload)
            said.append("")
        except Exception as err:
            said.append(f"{type(err).__name__}: {err}")
    return said

print(json.dumps({"version": __version__, "said": asyncio.run(judge(json.load(sys.stdin)))}))
"""


class CannotBeHadError(Exception):
    """A judge is not on this machine, and not to be installed."""


def ask(
    *words: str | Path, stdin: str = "", cwd: Path | None = None, env: dict[str, str] | None = None
) -> str:
    """Run a judge and return what it said; an assertion fails where it objects."""
    done = subprocess.run(
        [str(w) for w in words], input=stdin, cwd=cwd, env=env, capture_output=True, text=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr).strip()[-1000:]
    return done.stderr + done.stdout


def fetched(*words: str | Path) -> None:
    """Run an installation; `CannotBeHadError` where it fails."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBeHadError(f"{Path(words[0]).name}: {done.stderr.strip().splitlines()[-1:]}")


def needed(*names: str) -> None:
    """Raise `CannotBeHadError` unless these programs are installed."""
    if missing := which_missing(*names):
        raise CannotBeHadError(f"{', '.join(missing)} not installed")


def vela(folder: Path, model: Path | None) -> str:
    """Every operator is one that an integer accelerator runs."""
    if model is None:
        raise CannotBeHadError("no --model")
    venv.create(folder / "vela", with_pip=True)
    fetched(folder / "vela/bin/python", "-m", "pip", "install", "-q", "ethos-u-vela")
    said = ask(folder / "vela/bin/vela", model.resolve(), "--output-dir", folder / "compiled")
    left, taken = (re.search(rf"{kind} operators = (\d+)", said) for kind in ("CPU", "NPU"))
    assert left is not None and taken is not None, said[-1000:]
    assert (left[1], taken[1] == "0") == ("0", False), f"{left[0]}, {taken[0]}"
    return f"{taken[1]} operators for the accelerator, {left[1]} for a processor"


def promtool(folder: Path, model: Path | None) -> str:
    """The metrics keep Prometheus' conventions."""
    del folder, model
    needed("promtool")
    with page() as (sink, _), Feeder(sink):
        text = _get(f"{sink.url}metrics")
    said = ask("promtool", "check", "metrics", stdin=text).strip()
    assert not said, said
    return f"no complaint about {len(re.findall('^# TYPE', text, re.M))} families"


def prometheus(folder: Path, model: Path | None) -> str:
    """A server scrapes the metrics, and knows from them how long a stage takes."""
    del model
    needed("prometheus")
    with page() as (sink, _), Feeder(sink, fps=20):
        config, port = folder / "prometheus.yml", free_port()
        host = urllib.parse.urlsplit(sink.url).netloc
        config.write_text(
            "global: {scrape_interval: 1s}\n"
            f"scrape_configs: [{{job_name: pipose, static_configs: [{{targets: ['{host}']}}]}}]\n"
        )
        words = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
        words += [f"--web.listen-address=127.0.0.1:{port}"]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(["prometheus", *words], stdout=log, stderr=log)
        try:
            question = "histogram_quantile(0.5, pipose_stage_seconds_bucket)"
            found = wait_for(lambda: _asked(port, question), PATIENCE_S)
            known = _asked(port, '{job="pipose"}')
        finally:
            server.terminate()
            server.wait()
    assert found, (folder / "log").read_text()[-1000:]
    return f"{len(known)} series scraped; it computes the median of a stage"


def _asked(port: int, question: str) -> list[Any]:
    """Return what a Prometheus on this machine answers; nothing until it answers."""
    query = urllib.parse.urlencode({"query": question})
    try:
        said = json.loads(_get(f"http://127.0.0.1:{port}/api/v1/query?{query}"))
    except OSError:
        return []
    return [row for row in said["data"]["result"] if row["value"][1] != "NaN"]


def ffmpeg(folder: Path, model: Path | None) -> str:
    """The stream of pictures is one for a program that knows nothing of us."""
    del folder, model
    needed("ffmpeg")
    with page() as (sink, _), Feeder(sink, fps=20):
        words = ["-v", "error", "-i", f"{sink.url}stream.mjpg", "-frames:v", FRAMES, "-f", "framemd5", "-"]
        said = ask("ffmpeg", *map(str, words))
    pictures = {line.rpartition(",")[2] for line in said.splitlines() if line[:1] == "0"}
    assert len(pictures) >= FRAMES // 2, said
    return f"{FRAMES} frames read, {len(pictures)} of them different"


def ajv(folder: Path, model: Path | None) -> str:
    """The schema is strict JSON Schema, takes our messages, and refuses others."""
    del model
    needed("node", "npm")
    fetched("npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", folder, "ajv@8")
    with page() as (sink, _), Feeder(sink) as feeder:
        schema = json.loads(_get(f"{sink.url}api/schema"))
        good = []
        while len(good) < FRAMES:
            if feeder.frames:
                good.append(json.loads(_get(f"{sink.url}api/poses")))
    bad = [{**good[-1], "people": 1}, {**good[-1], "version": 1}, {}]
    ask("node", "-e", AJV, stdin=json.dumps({"schema": schema, "good": good, "bad": bad}), cwd=folder)
    return f"strict schema; {len(good)} messages are of it, {len(bad)} others are not"


def homeassistant(folder: Path, model: Path | None) -> str:
    """What Home Assistant discovers us by is what its own validators take."""
    del model
    python = next((p for v in ("3.13", "3.12", "3.11") if (p := find_python(v))), sys.executable)
    fetched(python, "-m", "venv", folder / "hass")
    fetched(folder / "hass/bin/python", "-m", "pip", "install", "-q", "homeassistant")
    mails = list(describe_device("homeassistant", "pi_1", "pipose/pi_1", "toy 32x24"))
    good = [(mail.topic, json.loads(mail.payload)) for mail in mails]
    bad = [
        (topic, payload | change)
        for topic, payload in good
        for change in (
            {"device_class": "warmth"},
            {"entity_category": "diagnostics"},
            {"device": {"name": "no identifier"}},
        )
    ]
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = [folder / "hass/bin/python", "-c", HOME_ASSISTANT]
    heard = json.loads(ask(*words, stdin=json.dumps([*good, *bad]), cwd=folder, env=clean).splitlines()[-1])
    objections = [text for text in heard["said"][: len(good)] if text]
    assert not objections, objections
    assert all(heard["said"][len(good) :]), "took what is wrong"
    return f"{heard['version']} takes {len(good)} descriptions and refuses {len(bad)} spoiled ones"


def axe(folder: Path, model: Path | None) -> str:
    """Nobody is kept out of a page: contrast, names, order, what a keyboard reaches."""
    needed("npm", "chromium")
    fetched("npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", folder, "axe-core@4")
    rules = (folder / "node_modules/axe-core/axe.min.js").read_text()
    report = folder / "report.html"
    beside = model.with_suffix(".report.html") if model else None
    report.write_text(beside.read_text() if beside and beside.is_file() else render(outcome(folder)))
    with page() as (live, _), Feeder(live, fps=20), page(token=TOKEN) as (closed, _):
        found = asyncio.run(broken_rules(rules, [report.as_uri(), live.url, closed.url]))
    assert not any(found.values()), json.dumps(found, indent=1)[-3000:]
    return f"no rule broken in {len(found)} views of 3 pages"


async def broken_rules(rules: str, urls: list[str]) -> dict[str, list[str]]:
    """Return the broken rules of each page in each view, with the first place of each."""
    found = {}
    async with browsing() as tab:
        await tab.send("Page.setBypassCSP", enabled=True)  # the live page takes no script of others
        for url in urls:
            for size in SIZES:
                for scheme in SCHEMES:
                    await set_view(tab, size, scheme)
                    await tab.open(url)
                    await tab.until(
                        f'document.readyState === "complete" && location.href.startsWith("{url}")'
                    )
                    await asyncio.sleep(1)  # the first picture
                    await tab.run(f"{rules}; undefined")
                    found[f"{url}, {size}, {scheme}"] = await tab.run(BROKEN_RULES)
    return found


JUDGES: dict[str, Callable[[Path, Path | None], str]] = {
    "vela": vela, "promtool": promtool, "prometheus": prometheus, "ffmpeg": ffmpeg, "ajv": ajv, "axe": axe,
    "homeassistant": homeassistant,
}  # fmt: skip


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


def main() -> int:
    """Ask each judge; 1 where one objects."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="an exported INT8 .tflite, for vela")
    parser.add_argument("--judge", choices=JUDGES, action="append", help="(default: all)")
    args = parser.parse_args()
    objections = 0
    for name in args.judge or JUDGES:
        with tempfile.TemporaryDirectory(prefix=f"pipose-{name}-") as folder:
            try:
                print(f"{name}: {JUDGES[name](Path(folder), args.model)}", flush=True)
            except CannotBeHadError as err:
                print(f"skipped: {name}: {err}", flush=True)
            except AssertionError as err:
                objections += 1
                print(f"OBJECTS: {name}: {err}", flush=True)
    return int(objections > 0)


if __name__ == "__main__":
    sys.exit(main())
