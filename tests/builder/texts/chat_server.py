"""A server of OpenAI's chat interface on the loopback, which answers, or fails, as it is told."""

import collections
import contextlib
import dataclasses
import http.server
import json
import threading


@dataclasses.dataclass(frozen=True)
class Reply:
    """What the server does with a request.

    Attributes:
      text: of a chat completion.
      finish: why it ended.
      status: of the answer.
      body: bytes in place of a chat completion.
      headers: more of them.
      cut: whether the connection ends in the middle of the body.
      slow: whether nothing comes until the client is gone.
    """

    text: str = ""
    finish: str = "stop"
    status: int = 200
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False
    slow: bool = False

    def content(self, asked):
        """The bytes of the answer."""
        if self.body is not None:
            return self.body
        if self.status != 200:
            return json.dumps({"error": {"message": f"status {self.status}"}}).encode()
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        told = {"id": "x", "object": "chat.completion", "model": asked["model"]}
        return json.dumps({**told, "choices": [choice]}).encode()


@dataclasses.dataclass
class Recorded:
    """What was asked.

    Attributes:
      asked: bodies of the requests, in order.
      keys: their Authorization.
      times: of the clock that was given, at each.
      now, most: requests that are being answered, and the most there were.
    """

    asked: list = dataclasses.field(default_factory=list)
    keys: list = dataclasses.field(default_factory=list)
    times: list = dataclasses.field(default_factory=list)
    now: int = 0
    most: int = 0

    @property
    def prompts(self):
        """First message of each request -> how often."""
        return collections.Counter(one["messages"][0]["content"] for one in self.asked)


@contextlib.contextmanager
def serving(answer, clock=None, port=0):
    """Serves; yields the base URL and a `Recorded`.

    Args:
      answer: messages, how often these were asked before -> `Reply`.
      clock: whose time is noted.
      port: to listen at.
    """
    seen, lock = Recorded(), threading.Lock()
    before = collections.Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                known = json.dumps(asked["messages"])
                number, before[known] = before[known], before[known] + 1
                seen.asked.append(asked)
                seen.keys.append(self.headers["authorization"])
                seen.times.append(clock.now() if clock else 0)
                seen.now += 1
                seen.most = max(seen.most, seen.now)
            found = self.path == "/v1/chat/completions"
            reply = answer(asked["messages"], number) if found else Reply(status=404)
            with lock:  # before the client knows
                seen.now -= 1
            self._send(reply, asked)

        def _send(self, reply, asked):
            if reply.slow:
                self.connection.recv(1)  # which comes with the end
                self.close_connection = True
                return
            body = reply.content(asked)
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if reply.cut else body)
            if reply.cut:
                self.close_connection = True

        def log_message(self, *told):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class FakeClock:
    """A clock that stands until somebody waits."""

    def __init__(self):
        self._now, self._lock, self.slept = 1000.0, threading.Lock(), []

    def now(self):
        """Seconds."""
        with self._lock:
            return self._now

    def sleep(self, seconds, stop):
        """Moves the time."""
        with self._lock:
            self._now += seconds
            self.slept.append(seconds)
