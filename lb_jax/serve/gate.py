"""What every request passes first: host, token, size, back-pressure; and what is counted of it."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Collection
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lb_jax.serve.limits import MIB, Limits, Refusal
from lb_jax.serve.service import Service

COOKIE = "lb_jax_session"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
OPEN = ("/healthz", "/login")  # without a token
BELOW = ("/media", "/v1/models")  # routes that are counted with all below them
GUARDED = ("/v1/",)  # routes with bodies that count against the queue
LINGER_S = 2.0  # for what a client still sends after it was refused
# The page loads nothing from elsewhere, and the browser sees to it.
PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' "
    "'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; frame-ancestors 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>lb-jax: log in</title>
<style>body{font:16px/1.5 system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;
margin:0;padding:0 16px;color-scheme:light dark}form{display:grid;gap:12px;width:min(320px,100%)}
input,button{font:inherit;padding:10px 12px;border-radius:8px;border:1px solid #8888}
button{background:#2457c5;color:#fff;border:0;cursor:pointer}p{margin:0}</style>
<form method="post" action="/login"><h1>lb-jax</h1><p>SAYS</p>
<label>Token<br><input name="token" type="password" autocomplete="current-password" autofocus
style="width:100%;box-sizing:border-box"></label><button>Log in</button></form></html>"""


class Gate:
    """ASGI middleware around the whole server."""

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        *,
        token: str | None,
        hosts: Collection[str] | None,
        routes: Collection[str],
        is_stopping: Callable[[], bool],
    ):
        """Args:
        app: API and page.
        service: limits, admission and metrics.
        token: what requests must know; None for none.
        hosts: what the Host header may say, so that no foreign name leads to a local server; None
          for anything.
        routes: paths that are counted by their name; the others together.
        is_stopping: whether requests are refused because the server ends.
        """
        self._app, self._service, self._token, self._hosts = app, service, token, hosts
        self._routes, self._is_stopping = routes, is_stopping
        self._session = hmac.new((token or "").encode(), b"lb-jax", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or hands it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks over websockets
            await send({"type": "websocket.close", "code": 1008})
            return
        exchange = _Exchange(scope, receive, send, self._service)
        try:
            await self._answer(exchange)
        finally:
            exchange.close(self._route(scope["path"]))

    async def _answer(self, exchange: "_Exchange") -> None:
        scope = exchange.scope
        try:
            self._check_host(exchange)
            if scope["path"] == "/login" and self._token is not None:
                await self._log_in(exchange)
                return
            if not self._knows_token(exchange):
                if scope["method"] == "GET" and "text/html" in exchange.header("accept"):
                    await exchange.send_whole(303, b"", {"location": "/login"})
                    return
                raise Refusal(
                    "unauthorized",
                    "The token is missing or wrong; send `Authorization: Bearer TOKEN`.",
                )
            if scope["path"].startswith(GUARDED) and scope["method"] == "POST":
                if self._is_stopping():
                    raise Refusal("engine_unavailable", "The server is stopping.")
                with self._service.admission.request():
                    await exchange.run(self._app)
            else:
                await exchange.run(self._app)
        except Refusal as refusal:
            await exchange.refuse(refusal)

    def _check_host(self, exchange: "_Exchange") -> None:
        host = exchange.header("host").strip().lower()
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if self._hosts is not None and name.strip("[]") not in self._hosts:
            raise Refusal(
                "forbidden_host",
                f"The host is {name[:80]!r}; this server answers to {', '.join(self._hosts)} only.",
            )

    def _knows_token(self, exchange: "_Exchange") -> bool:
        if self._token is None or exchange.scope["path"] in OPEN:
            return True
        # As bytes: a header has no encoding, and a token that is not ASCII comes as UTF-8.
        kind, _, given = exchange.raw_header("authorization").partition(b" ")
        if kind.lower() == b"bearer" and _equal(given.strip(), self._token):
            return True
        for cookie in exchange.header("cookie").split(";"):
            name, _, value = cookie.strip().partition("=")
            if name == COOKIE and _equal(value.encode(), self._session):
                return True
        return False

    async def _log_in(self, exchange: "_Exchange") -> None:
        says = "This server asks for its token."
        if exchange.scope["method"] == "POST":
            body = await exchange.read(8192)
            given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
            if _equal(given.encode(), self._token):
                cookie = f"{COOKIE}={self._session}; HttpOnly; SameSite=Strict; Path=/"
                await exchange.send_whole(303, b"", {"location": "/", "set-cookie": cookie})
                return
            await asyncio.sleep(0.5)
            says = "That is not the token; try again."
        page = LOGIN.replace("SAYS", says).encode()
        status = 200 if exchange.scope["method"] == "GET" else 401
        await exchange.send_whole(status, page, {"content-type": "text/html; charset=utf-8"})

    def _route(self, path: str) -> str:
        if path in self._routes:
            return path
        return next((name for name in BELOW if path.startswith(f"{name}/")), "page")


class _Exchange:
    """One request and its answer: bytes held, time, status."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, service: Service):
        self.scope, self._receive, self._send = scope, receive, send
        self._service, self._limits = service, service.limits
        self._headers = {key.decode("latin-1"): value for key, value in scope["headers"]}
        self._began = time.monotonic()
        self._held = self._read = 0
        self._is_read = False  # the whole body
        self._refused: Refusal | None = None
        self._status: int | None = None

    def header(self, name: str) -> str:
        return self.raw_header(name).decode("latin-1")

    def raw_header(self, name: str) -> bytes:
        return self._headers.get(name, b"")

    async def run(self, app: ASGIApp) -> None:
        """Hands the request on; what the gate refuses meanwhile is answered by the gate."""
        self._announce()
        try:
            await app(self.scope, self.receive, self.send)
        except Refusal:
            if self._refused is None or self._status is not None:
                raise
        if self._refused is not None and self._status is None:
            await self.refuse(self._refused)

    async def receive(self) -> Message:
        """A message of the body; counted, and waited for only so long."""
        if self._is_read:
            return await self._receive()
        left = self._began + self._limits.read_s - time.monotonic()
        try:
            async with asyncio.timeout(max(left, 0)):
                message = await self._receive()
        except TimeoutError:
            raise self._stop(
                "upload_too_slow",
                f"The body did not arrive within {self._limits.read_s:g} s.",
            ) from None
        if message["type"] != "http.request":
            self._is_read = True
            return message
        self._read += len(message.get("body", b""))
        self._is_read = not message.get("more_body", False)
        if self._read > self._limits.upload_bytes:
            raise self._stop("too_large", _too_large(self._limits))
        self._hold(self._read)
        return message

    async def send(self, message: Message) -> None:
        """A message of the answer, unless the gate has refused the request by now."""
        if self._refused is not None and self._status is None:
            return
        if message["type"] == "http.response.start":
            self._status = message["status"]
            kinds = [value for key, value in message["headers"] if key.lower() == b"content-type"]
            if kinds and kinds[0].startswith(b"text/html"):
                extra = [(k.encode(), v.encode()) for k, v in PAGE_HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
        await self._send(message)

    async def read(self, most: int) -> bytes:
        """The whole body, if it is small."""
        body = b""
        while not self._is_read:
            body += (await self.receive()).get("body", b"")
            if len(body) > most:
                raise Refusal("too_large", f"The body is larger than {most} bytes.")
        return body

    async def send_whole(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        await self.send(_start(status, {**headers, "content-length": str(len(body))}))
        await self.send({"type": "http.response.body", "body": body})

    async def refuse(self, refusal: Refusal) -> None:
        """Answers at once, then takes what is still being sent for a while.

        Closing a connection on which something arrives destroys the answer at the other end.
        """
        self._refused, self._status = None, refusal.status
        body = json.dumps(refusal.body).encode()
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **{key.lower(): value for key, value in refusal.headers.items()},
        }
        if not self._is_read and self._has_body():
            headers["connection"] = "close"
        await self._send(_start(refusal.status, headers))
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        if "connection" in headers and not self.header("expect"):
            await self._drain()
        await self._send({"type": "http.response.body", "body": b""})

    def close(self, route: str) -> None:
        """Gives back what was held and counts the request."""
        self._service.admission.release(self._held)
        metrics = self._service.metrics
        metrics.requests.add(route, self.scope["method"], self._status or 499)
        metrics.seconds.observe(time.monotonic() - self._began, route)

    def _has_body(self) -> bool:
        return self.header("content-length") not in ("", "0") or bool(
            self.header("transfer-encoding")
        )

    def _announce(self) -> None:
        """Refuses by the head alone what the head says is too large."""
        announced = self.header("content-length")
        if announced.isdigit():
            if int(announced) > self._limits.upload_bytes:
                raise Refusal("too_large", _too_large(self._limits))
            self._hold(int(announced))

    def _hold(self, count: int) -> None:
        if count > self._held:
            try:
                self._service.admission.hold(count - self._held)
            except Refusal as refusal:
                self._refused = refusal
                raise
            self._held = count

    def _stop(self, code: str, message: str) -> Refusal:
        self._refused = Refusal(code, message)
        return self._refused

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(LINGER_S):
                while True:
                    message = await self._receive()
                    if message["type"] != "http.request" or not message.get("more_body"):
                        return
        except TimeoutError:
            return


def _start(status: int, headers: dict[str, str]) -> Message:
    pairs = [(key.encode(), value.encode()) for key, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}


def _too_large(limits: Limits) -> str:
    return f"The body is larger than {limits.upload_bytes / MIB:g} MiB; send less at once."


def _equal(given: bytes, expected: str) -> bool:
    return hmac.compare_digest(given, expected.encode())
