"""The live page as a sink; see `rpi_runtime.sinks.web`."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rpi_runtime.errors import UsageError
from rpi_runtime.sinks.sink import About, Result
from rpi_runtime.sinks.web.access import Access, Names, check_token
from rpi_runtime.sinks.web.address import Address, parse_address
from rpi_runtime.sinks.web.limits import WebLimits

if TYPE_CHECKING:
    from rpi_runtime.sinks.web.hub import Hub
    from rpi_runtime.sinks.web.server import LiveServer

log = logging.getLogger(__name__)
TOKEN_VARIABLE = "PIPOSE_LIVE_TOKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebOptions:
    """Options of the sink ``web``.

    Attributes
    ----------
    target : str
        ``HOST:PORT``. Default: loopback. Any other address needs a token.
    token : str
        Required of every viewer. It is given in a configuration file or in PIPOSE_LIVE_TOKEN, never on a command line,
        which every user of the machine can read.
    quality : int
        Quality of the JPEG pictures, 20 to 95.
    fps : float
        Maximum number of pictures per second for each viewer. It does not slow down the pipeline.
    viewers : int
        Maximum number of simultaneous viewers.
    names : tuple of str
        Further names by which browsers may call this machine.
    cert_file, key_file : str
        PEM files: serve HTTPS.
    """

    target: str = "127.0.0.1:8080"
    token: str = field(default="", repr=False)
    quality: int = 80
    fps: float = 30.0
    viewers: int = WebLimits().viewers
    names: tuple[str, ...] = ()
    cert_file: str = ""
    key_file: str = ""

    def __post_init__(self) -> None:
        parse_address(self.target)
        if not 20 <= self.quality <= 95:
            raise UsageError(f"got {self.quality}, expected 20 to 95", key="quality")
        if not 0.1 <= self.fps <= 120:
            raise UsageError(f"got {self.fps:g}, expected 0.1 to 120", key="fps")
        if not 1 <= self.viewers <= 40:
            raise UsageError(f"got {self.viewers}, expected 1 to 40", key="viewers")
        if bool(self.cert_file) != bool(self.key_file):
            raise UsageError("give it and key_file, or none of them", key="cert_file")

    @property
    def address(self) -> Address:
        """The address to listen on."""
        return parse_address(self.target)


class WebSink:
    """The live page. The token is checked before the run begins."""

    backlog = 1

    def __init__(self, options: WebOptions) -> None:
        self.name = f"web:{options.target}"
        self._options = options
        given = options.token or os.environ.get(TOKEN_VARIABLE, "")
        where = options.target
        self._token = check_token(given, needed=not options.address.is_loopback, where=where)

    def open(self, about: About) -> LivePage:
        """Bind the port; raises `OutputError` if that fails."""
        from rpi_runtime.sinks.web.guard import Guard
        from rpi_runtime.sinks.web.hub import Hub
        from rpi_runtime.sinks.web.jpeg import make_encoder
        from rpi_runtime.sinks.web.server import Certificate, LiveServer
        from rpi_runtime.sinks.web.site import Site

        options = self._options
        guard = Guard(WebLimits(viewers=options.viewers))
        hub = Hub(about.skeleton, make_encoder(options.quality), options.fps)
        site = Site(
            hub,
            about,
            guard=guard,
            access=Access(self._token),
            names=Names(is_loopback=options.address.is_loopback, more=options.names),
            https=bool(options.cert_file),
            say=log.warning,
        )
        certificate = (
            Certificate(chain=options.cert_file, key=options.key_file) if options.cert_file else None
        )
        server = LiveServer(options.address, site, hub, guard, certificate)
        server.start()
        scheme = "https" if options.cert_file else "http"
        page = LivePage(hub, server, f"{scheme}://{Address(options.address.host, server.port)}/")
        log.info("live page: %s%s", page.url, ", with a token" if self._token else "")
        return page


class LivePage:
    """Hands results to the server's thread, and encodes a picture only while a viewer waits.

    Attributes
    ----------
    url : str
        Address of the page.
    """

    trouble = ""

    def __init__(self, hub: Hub, server: LiveServer, url: str) -> None:
        self._hub, self._server, self.url = hub, server, url

    @property
    def wants_image(self) -> bool:
        """Whether a viewer is waiting for a picture."""
        return self._hub.wanted

    def write(self, result: Result) -> None:
        """Hand over one result; raises the error that ended the server, if there is one."""
        self._server.check()
        self._hub.publish(result)

    def close(self) -> None:
        """Close the page. Browsers reconnect by themselves."""
        self._server.stop()
