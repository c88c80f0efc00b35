"""A server with OpenAI's API that alters lines: what it says depends on the request alone, and it counts them.

with rewriter(pause=0.0) as server: server.url, server.asked
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Asked:
    """Where the server is, and the requests that it was sent."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    same: bool = False  # answer with the line as it was


@contextmanager
def rewriter(pause: float = 0.0) -> Iterator[Asked]:
    found = Asked()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(pause)
            asked = json.loads(body)["messages"][-1]["content"]
            found.asked.append(hashlib.sha256(body).hexdigest())
            line = asked.partition("The line to rewrite:\n")[2].partition("\n")[0]
            said = line if found.same else f'"{line} and a change {hashlib.sha256(body).hexdigest()[:6]}"'
            answer = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
