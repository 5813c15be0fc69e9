"""The paths of the page, and the checks that every request has to pass."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from rpi_runtime.health.status import Status
from rpi_runtime.masking import mask
from rpi_runtime.sinks.message import schema
from rpi_runtime.sinks.sink import About
from rpi_runtime.sinks.web.access import COOKIE, SESSION_S, Access, Names, is_cross_site, origin_of
from rpi_runtime.sinks.web.assets import PRIVATE, PUBLIC, load_assets
from rpi_runtime.sinks.web.guard import Guard
from rpi_runtime.sinks.web.hub import Hub
from rpi_runtime.sinks.web.library import aiohttp
from rpi_runtime.sinks.web.limits import RateLimit
from rpi_runtime.sinks.web.metrics import CONTENT_TYPE, Exposition, add_build, add_process, add_status
from rpi_runtime.sinks.web.viewers import SocketViewer, serve_mjpeg

Handler = Callable[[Any], Awaitable[Any]]

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer the form's Origin would be null
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
    "Server": "pipose",
}
_WITHOUT_TOKEN = {"/login", *(f"/{name}" for name in PUBLIC)}
READY_S = 10.0  # no result for longer than this, and than some intervals: not ready
_SLOW = 3.0
_LATE_S, _MOST_WAITING, _SAY_AGAIN_S = 1.0, 32, 600.0
_FOREIGN = (
    "request of another site's page; where this page is behind a reverse proxy under another name, give the name in "
    "names = of the sink web, and have the proxy hand on the Host header"
)


class Site:
    """All paths of the server.

    Parameters
    ----------
    hub : Hub
    about : About
    guard : Guard
    access : Access
    names : Names
    https : bool
        Whether cookies are sent over HTTPS only.
    say : callable
        Takes a line for the log. The line holds nothing that a client sent, except its address.
    """

    def __init__(
        self,
        hub: Hub,
        about: About,
        *,
        guard: Guard,
        access: Access,
        names: Names,
        https: bool,
        say: Callable[[str], None],
    ) -> None:
        self._hub, self._about, self.guard, self._limits = hub, about, guard, guard.limits
        self._access, self._names, self._https, self._say = access, names, https, say
        self._assets = load_assets()
        self._requests = RateLimit(guard.limits.requests_per_s, guard.limits.requests_burst, time.monotonic)
        self._guesses = RateLimit(
            guard.limits.wrong_tokens_per_minute / 60, guard.limits.wrong_tokens_burst, time.monotonic
        )
        self._waiting = 0
        self._said_s = float("-inf")
        self._viewers: set[Any] = set()
        self._status: tuple[float, Status] | None = None
        self.refused: Counter[str] = Counter()

    def application(self) -> Any:
        """Return the application of the HTTP library."""
        web = aiohttp().web

        async def check(request: Any, handler: Handler) -> Any:
            return await self._check(request, handler)

        app = web.Application(client_max_size=self._limits.body)
        app.middlewares.append(web.middleware(check))
        app.on_response_prepare.append(self._add_headers)
        app.add_routes(
            [
                web.get("/", self._page("index.html")),
                web.get("/login", self._page("login.html")),
                web.post("/login", self._log_in),
                web.get("/live", self._socket, allow_head=False),
                web.get("/stream.mjpg", self._mjpeg, allow_head=False),
                web.get("/ticket", self._give_ticket),
                web.get("/healthz", self._healthy),
                web.get("/readyz", self._ready),
                web.get("/metrics", self._metrics),
                web.get("/api/poses", self._poses),
                web.get("/api/schema", self._schema),
                *(web.get(f"/{name}", self._page(name)) for name in (*PUBLIC, *PRIVATE)),
            ]
        )
        return app

    async def leave(self) -> None:
        """Say to all viewers how the run is in the end, and goodbye."""
        self._status = None
        pages = [viewer for viewer in self._viewers if isinstance(viewer, SocketViewer)]
        await asyncio.gather(*(page.leave() for page in pages), return_exceptions=True)

    async def _check(self, request: Any, handler: Handler) -> Any:
        self.guard.served(request.transport)
        address = request.remote or ""
        if not self._requests.take(address):
            return self._refuse(429, "too many requests", close=True)
        if not self._names.knows(request.headers.get("Host", "")):
            return self._refuse(421, "this name is not one of this server's; use its address")
        if self._is_foreign(request) and not self._is_visit(request):
            return self._refuse(403, _FOREIGN)
        if request.path not in _WITHOUT_TOKEN and not await self._may_look(request):
            return self._ask_for_token(request)
        return await handler(request)

    def _is_foreign(self, request: Any) -> bool:
        """Whether a page that is not ours made this request; `rpi_runtime.sinks.web.access` says how it is told."""
        if self._access.ticket_is_right(request.query.get("ticket", "")):
            return False
        forwarded = request.headers.get("X-Forwarded-Host", "")  # no page can send it to another site
        hosts = [request.headers["Host"], *([forwarded] if self._names.knows(forwarded) else [])]
        if all(is_cross_site(request.headers, host) for host in hosts):
            return True
        origin = origin_of(request.headers)
        known = origin in [host.lower() for host in hosts] or self._names.knows(origin or "")
        return bool(origin) and not known

    def _is_visit(self, request: Any) -> bool:
        """Whether this is a link from another site to the page itself, which reveals nothing to that site."""
        wants = request.headers.get("Sec-Fetch-Mode") == "navigate"
        return wants and request.method == "GET" and request.path in ("/", "/login")

    async def _may_look(self, request: Any) -> bool:
        if self._access.is_open or self._access.cookie_is_right(request.cookies.get(COOKIE, "")):
            return True
        header = request.headers.get("Authorization", "")
        return bool(header) and await self._guess(request, lambda: self._access.bearer_is_right(header))

    async def _guess(self, request: Any, is_right: Callable[[], bool]) -> bool:
        """Compare a token; who has been wrong too often waits for the answer to another wrong one.

        The right one is never kept waiting: behind a proxy all visitors have one address, and one of them shall not
        lock out the others. Guessing stays hopeless, with tokens of `LEAST_TOKEN` characters.
        """
        if is_right():
            return True
        address = request.remote or ""
        self.refused["wrong_token"] += 1
        had_some = self._guesses.allows(address)
        self._guesses.take(address)
        now = time.monotonic()
        if had_some and not self._guesses.allows(address) and now - self._said_s > _SAY_AGAIN_S:
            self._said_s = now
            self._say(f"live page: {address} sent wrong tokens; each further one is answered late")
        if not had_some:
            self.refused["guesses"] += 1
            await self._punish()
        return False

    async def _punish(self) -> None:
        """Answer late, unless as many as may wait are waiting already."""
        if self._waiting < _MOST_WAITING:
            self._waiting += 1
            try:
                await asyncio.sleep(_LATE_S)
            finally:
                self._waiting -= 1

    def _ask_for_token(self, request: Any) -> Any:
        if request.method == "GET" and request.path == "/":
            # relative, here and below: a proxy may have put a prefix before the path
            return aiohttp().web.Response(status=303, headers={"Location": "login"})
        response = self._refuse(401, "a token is needed: Authorization: Bearer TOKEN")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def _refuse(self, status: int, text: str, *, close: bool = False) -> Any:
        self.refused[str(status)] += 1
        response = aiohttp().web.Response(status=status, text=f"{text}\n")
        if close:
            response.force_close()
        return response

    async def _add_headers(self, request: Any, response: Any) -> None:
        response.headers.update(_HEADERS)

    def _page(self, name: str) -> Handler:
        body, kind = self._assets[name]
        body = body.replace(b"{{ticket}}", self._access.ticket.encode())

        async def serve(request: Any) -> Any:
            return aiohttp().web.Response(body=body, content_type=kind, charset="utf-8")

        return serve

    async def _log_in(self, request: Any) -> Any:
        """Check the token of a form and set the cookie."""
        try:
            async with asyncio.timeout(self._limits.request_s):
                form = await request.post()
        except TimeoutError:
            return self._refuse(408, "too slow", close=True)
        except (ValueError, LookupError):
            return self._refuse(400, "expected a form")
        given = form.get("token", "")
        right = isinstance(given, str) and await self._guess(
            request, lambda: self._access.token_is_right(given)
        )
        if not right:
            self.refused["login"] += 1
            return aiohttp().web.Response(status=303, headers={"Location": "login#wrong"})
        response = aiohttp().web.Response(status=303, headers={"Location": "./"})
        response.set_cookie(
            COOKIE,
            self._access.new_cookie(),
            max_age=SESSION_S,
            httponly=True,
            samesite="Strict",
            secure=self._https,
        )
        return response

    async def _socket(self, request: Any) -> Any:
        if not aiohttp().web.WebSocketResponse().can_prepare(request):
            return self._refuse(426, "this path is a WebSocket")
        viewer = SocketViewer(self._hub, self._limits, self._hello, self._status_text)
        return await self._admit(viewer, lambda: viewer.serve(request))

    async def _mjpeg(self, request: Any) -> Any:
        return await self._admit(None, lambda: serve_mjpeg(self._hub, self._limits, request))

    async def _admit(self, viewer: SocketViewer | None, serve: Callable[[], Awaitable[Any]]) -> Any:
        if len(self._viewers) >= self._limits.viewers:
            return self._refuse(503, f"{self._limits.viewers} viewers are looking already; try later")
        mark = viewer or object()
        self._viewers.add(mark)
        try:
            return await serve()
        finally:
            self._viewers.discard(mark)

    async def _give_ticket(self, request: Any) -> Any:
        return aiohttp().web.Response(text=self._access.ticket)

    async def _healthy(self, request: Any) -> Any:
        return aiohttp().web.Response(text="ok\n")

    async def _ready(self, request: Any) -> Any:
        status = self._current()
        silent = time.monotonic() - self._hub.newest_s
        reasons = list(status.problems)
        if self._hub.newest is None or silent > max(READY_S, _SLOW / status.fps if status.fps else 0):
            reasons.insert(0, f"the source is {status.state}")
        elif status.state == "ended":
            reasons.insert(0, "the run has ended")
        if reasons:
            text = "; ".join(dict.fromkeys(map(mask, reasons)))
            return aiohttp().web.Response(status=503, text=f"not ready: {text}\n")
        return aiohttp().web.Response(text="ready\n")

    async def _poses(self, request: Any) -> Any:
        message = self._hub.message()
        state = self._current().state
        if message is None or state != "running":
            error = (
                "no frame yet" if message is None else f"the source is {state}: where people are is unknown"
            )
            return aiohttp().web.json_response({"error": error}, status=503)
        return aiohttp().web.json_response(message)

    async def _schema(self, request: Any) -> Any:
        return aiohttp().web.json_response(schema(), content_type="application/schema+json")

    async def _metrics(self, request: Any) -> Any:
        out = Exposition()
        add_status(out, self._current())
        add_build(out)
        add_process(out)
        counts = self._hub.counts
        out.add("viewers", "gauge", "Pages and streams that are looking.", len(self._viewers))
        out.add(
            "pictures_encoded_total", "counter", "Pictures encoded, once for all viewers.", counts["encoded"]
        )
        out.add("viewer_frames_sent_total", "counter", "Frames sent to viewers.", counts["sent"])
        out.add("viewer_frames_missed_total", "counter", "Frames that viewers missed.", counts["missed"])
        out.add(
            "viewer_sent_bytes_total", "counter", "Bytes of frames sent to viewers.", counts["sent_bytes"]
        )
        refused = self.refused + self.guard.refused
        pairs = [({"reason": reason}, float(count)) for reason, count in sorted(refused.items())]
        out.add("refused_total", "counter", "Requests and connections refused.", pairs)
        body = out.text().encode()
        return aiohttp().web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    def _current(self) -> Status:
        """Return the pipeline's status, computed at most twice a second for any number of requests."""
        now = time.monotonic()
        if self._status is None or now - self._status[0] > 0.5:
            asked = self._about.status() if self._about.status else Status(state="running", fps=self._hub.fps)
            self._status = (now, asked)
        return self._status[1]

    def _hello(self) -> str:
        skeleton = self._about.skeleton
        names = skeleton.keypoints
        return json.dumps(
            {
                "type": "hello",
                "model": self._about.model,
                "keypoints": names,
                "edges": [[names[a], names[b]] for a, b in skeleton.edges],
            }
        )

    def _status_text(self) -> str:
        status = self._current()
        silent = time.monotonic() - self._hub.newest_s if self._hub.newest else None
        return json.dumps(
            {
                "type": "status",
                "state": status.state,
                "problems": [mask(problem) for problem in status.problems],
                "silent_s": silent,
                "fps": status.fps,
                "frames": status.frames,
                "dropped": status.dropped,
                "restarts": status.restarts,
                "celsius": status.celsius,
                "throttled": status.throttled,
                "heat": status.heat,
                "heat_level": status.heat_level,
                "viewers": len(self._viewers),
            }
        )
