"""A server on 127.0.0.1 with real files and the faults of real servers, and a clock for rates."""

import contextlib
import dataclasses
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self):
        self.time, self.slept = 0.0, []
        self._lock = threading.Lock()

    def now(self) -> float:
        with self._lock:
            return self.time

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.time += seconds
            self.slept.append(seconds)


@dataclasses.dataclass(frozen=True)
class Request:
    """What was asked: when by the clock, and how."""

    time: float
    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is answered to one request in the place of the file.

    Attributes:
      status: of it; 200 for the file, or the part of it that was asked for.
      headers: more of them.
      body: of an error.
      cut: bytes of the body after which the connection is cut.
      stall: whether it is left open instead, and brings nothing more.
      then: content of the file from then on, under another ETag.
    """

    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    stall: bool = False
    then: bytes | None = None


class Server:
    """Files by path.

    Attributes:
      files: path -> content.
      types: path -> Content-Type, else video/mp4.
      etags: path -> ETag; None for a file without one.
      faults: path -> answers to the first requests, in order.
      calls: path -> what answers instead: request -> (status, JSON).
      log: all requests, in order.
      sent: path -> times that a whole file was sent, in one piece or the last one.
    """

    def __init__(self, clock: Clock):
        self.clock = clock
        self.files: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.etags: dict[str, str | None] = {}
        self.faults: dict[str, list[Answer]] = {}
        self.calls: dict[str, Callable[[Request], tuple[int, object]]] = {}
        self.log: list[Request] = []
        self.sent: dict[str, int] = {}
        self.released = threading.Event()
        self.lock = threading.Lock()
        self._http = _Quiet(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def asked(self, path: str) -> list[Request]:
        """Requests of a path."""
        return [one for one in self.log if one.path == path]

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_) -> None:
        """Clients that go away are no news."""


def _handler(server: Server) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            told = Request(server.clock.now(), parts.path, query, dict(self.headers.items()))
            with server.lock:
                server.log.append(told)
                waiting = server.faults.get(told.path)
                answer = waiting.pop(0) if waiting else Answer()
            if answer.status == 200 and told.path in server.calls:
                status, content = server.calls[told.path](told)
                answer = Answer(
                    status, {"Content-Type": "application/json"}, json.dumps(content).encode()
                )
                self._send(answer, answer.body, answer.headers)
            elif answer.status != 200:
                self._send(answer, answer.body, answer.headers)
            elif told.path not in server.files:
                self._send(Answer(404), b"", {})
            else:
                self._file(told, answer)

        do_HEAD = do_GET

        def _file(self, told: Request, answer: Answer) -> None:
            content = server.files[told.path]
            etag = server.etags.get(told.path, f'"{hash(content) & 0xFFFFFFFF:x}"')
            headers = {"Content-Type": server.types.get(told.path, "video/mp4")}
            headers |= {"Accept-Ranges": "bytes"} | answer.headers
            if etag is not None:
                headers["ETag"] = etag
            if answer.then is not None:
                with server.lock:
                    server.files[told.path] = answer.then
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", told.headers.get("Range", ""))
            body, status = content, 200
            if asked and told.headers.get("If-Range", etag) == etag:
                start = int(asked[1])
                if start >= len(content):
                    headers["Content-Range"] = f"bytes */{len(content)}"
                    self._send(Answer(416), b"", headers)
                    return
                stop = min(int(asked[2] or len(content)) + bool(asked[2]), len(content))
                body, status = content[start:stop], 206
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            self._send(dataclasses.replace(answer, status=status), body, headers)
            if answer.cut is None and self.command == "GET":
                with server.lock:
                    server.sent[told.path] = server.sent.get(told.path, 0) + 1

        def _send(self, answer: Answer, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            with contextlib.suppress(OSError):
                self.wfile.write(body[: answer.cut])
                self.wfile.flush()
            if answer.stall:
                server.released.wait(20)
            if answer.cut is not None:
                self.close_connection = True

        def log_message(self, *_) -> None:
            """Nothing is printed."""

    return Handler


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    server = Server(Clock())
    try:
        yield server
    finally:
        server.close()
