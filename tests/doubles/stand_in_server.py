"""A double of vLLM's server: a program that takes its flags, and answers /health while it and a child of its run.

One that is to serve a model called `dies` ends at once, with a reason in its log.
"""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()


def main(flags: list[str]) -> None:
    if flags[flags.index("--model") + 1].endswith("dies"):
        print("Traceback: no room for the weights", flush=True)
        sys.exit(3)
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    print("child", child.pid, flush=True)
    HTTPServer(("127.0.0.1", int(flags[flags.index("--port") + 1])), _Health).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
