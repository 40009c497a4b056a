"""A real HTTP server that receives webhooks."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from typing import Any


@dataclass
class Message:
    """A request that the receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Its answers to requests, in turn; the last one repeats. Then what it received."""

    port: int = 0
    statuses: list[int] = field(default_factory=lambda: [204])
    delay: float = 0.0
    location: str | None = None
    endless: bool = False
    messages: list[Message] = field(default_factory=list)

    def url(self, path: str = "/events", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def next_status(self) -> int:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@contextmanager
def receiving(port: int = 0, *, tls: SSLContext | None = None) -> Iterator[Receiver]:
    """Receive on a port of the loopback."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.messages.append(Message(self.path, headers, body))
            time.sleep(receiver.delay)
            self.send_response(receiver.next_status())
            if receiver.location is not None:
                self.send_header("Location", receiver.location)
            if not receiver.endless:
                self.send_header("Content-Length", "0")
            self.end_headers()
            while receiver.endless:
                self.wfile.write(b"x" * 1000)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass  # a client that closed its connection

    server = Server(("127.0.0.1", port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.endless = False
        server.shutdown()
        server.server_close()
        thread.join()
