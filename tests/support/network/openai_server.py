"""An OpenAI-compatible server of a few lines that has every fault it is told to have."""

import json
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread


class OpenAIServer(ThreadingHTTPServer):
    """Answers chat completions, and misbehaves as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[dict] = []
        self.paths: list[str] = []
        self.keys: list[str] = []
        self.tried: Counter[str] = Counter()
        self.lock = Lock()
        self.owner, self.fail_first, self.status, self.choices, self.seconds = "vllm", 0, 200, None, 0.0
        self.elsewhere: str | None = None
        Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no news; the traceback would stand among what the command says."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Answer(BaseHTTPRequestHandler):
    server: OpenAIServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._say(200, {"object": "list", "data": [{"id": "tiny", "object": "model", "owned_by": self.server.owner}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        case = body["messages"][0]["content"]
        with self.server.lock:
            self.server.asked.append(body)
            self.server.paths.append(self.path)
            self.server.keys.append(self.headers["Authorization"])
            self.server.tried[case] += 1
            tried = self.server.tried[case]
        time.sleep(self.server.seconds)
        if self.server.elsewhere:
            self.send_response(307)
            self.send_header("Location", self.server.elsewhere)
            self.end_headers()
        elif tried <= self.server.fail_first:
            self._say(503, {"error": {"message": "busy"}})
        elif self.server.status != 200:
            error = {"message": f"cannot read: {case}", "code": "unsupported", "param": "temperature"}
            self._say(self.server.status, {"error": error})
        else:
            count = self.server.choices or body["n"]
            choices = [
                {
                    "index": i,
                    "message": {"role": "assistant", "content": f"{case} {body['seed']} {i}"},
                    "finish_reason": "stop",
                    **({"token_ids": [1] * (i + 1)} if body.get("return_token_ids") else {}),
                }
                for i in range(count)
            ]
            usage = {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}
            about = {"id": "x", "object": "chat.completion", "created": 0, "model": "tiny"}
            self._say(200, about | {"choices": choices, "usage": usage})

    def _say(self, status: int, body: dict) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
