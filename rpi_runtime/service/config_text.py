"""The configuration that the installer writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rpi_runtime.capture.kinds import SourceConfig
from rpi_runtime.service.layout import RUNTIME
from rpi_runtime.settings.toml_value import toml_value

_TEXT = """\
# The pipose service. After a change: sudo systemctl reload pipose
# After a mistake, the former settings stay in force, and `systemctl status pipose` reports the mistake.
# All keys, with their defaults: rpi_runtime/docs/configuration.md; examples: `python -m rpi_runtime run --help`.
model = {models}
{refine}
[source]
{source}

# The latest poses, in memory; as JSON lines. To keep them, name a file in /var/lib/pipose.
[[sink]]
kind = "jsonl"
target = {target}
max_mb = 4.0
keep = 1

# A page for the browser, on this machine only. Any other address needs a token.
# [[sink]]
# kind = "web"
# target = "127.0.0.1:8080"

# MQTT. Only root and the service can read this file; passwords may also stand in /etc/pipose/secrets, as
# PIPOSE_MQTT_PASSWORD=..., which is read when the service starts.
# [[sink]]
# kind = "mqtt"
# target = "broker.local"
"""


def config_text(models: Sequence[Path], source: SourceConfig, refine: Path | None = None) -> str:
    """Return a configuration with these models, as the service sees them, this source, and what refines.

    The service waits for a live source at the start. The other keys are written if they differ from the default.
    """
    if source.live:
        source = dataclasses.replace(source, retry_at_start=True)
    lines = [f"kind = {toml_value(source.kind)}"]
    for field in dataclasses.fields(source):
        value = getattr(source, field.name)
        if field.name != "kind" and value != field.default:
            lines.append(f"{field.name} = {toml_value(value)}")
    paths = [toml_value(str(m)) for m in models]
    return _TEXT.format(
        models=paths[0] if len(paths) == 1 else f"[{', '.join(paths)}]",
        refine=f"\n[refine]\nmodel = {toml_value(str(refine))}\n" if refine is not None else "",
        source="\n".join(lines),
        target=toml_value(str(RUNTIME / "poses.jsonl")),
    )
