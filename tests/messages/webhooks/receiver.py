"""A receiver of webhooks for the tests, which verifies them with standardwebhooks, no code of ours.

Prints its port. Each request is written as one line of JSON before it is answered, with whether it
was verified, and whether tampered, old and replayed copies of it were refused. What it answers is in
a file, which the test changes at any time: `200`, a status with `retry-after`, `hang`, `cut`, `void`
(half an answer), `echo`, `long` or `redirect URL`.
"""

import argparse
import json
import os
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook

arguments = argparse.ArgumentParser()
arguments.add_argument("--requests", required=True, help="the file that requests are appended to")
arguments.add_argument("--mode", required=True, help="the file that says what is answered")
arguments.add_argument("--secret", required=True, help="the file with the secret that is trusted")
arguments.add_argument("--certificate")
arguments.add_argument("--key")
arguments.add_argument("--port", type=int, default=0)
arguments = arguments.parse_args()

kept = open(arguments.requests, "a", encoding="utf-8")
lock = threading.Lock()


def verifies(body, headers):
    with open(arguments.secret, encoding="utf-8") as file:
        secret = file.read().strip()
    try:
        Webhook(secret).verify(body, headers)
        return True
    except Exception:
        return False


def examined(body, headers):
    """Whether it is verified, and no copy of it that was tampered with."""
    old = dict(headers, **{"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 600)})
    now = dict(headers, **{"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)})
    other = dict(headers, **{"webhook-id": "00000000-0000-0000-0000-000000000000"})
    return {
        "verified": verifies(body, headers),
        "tampered": verifies(body.replace(b"{", b"{ ", 1), headers),
        "old": verifies(body, old),
        "replayed": verifies(body, now) or verifies(body, other),
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        said = {"path": self.path, "body": body.decode(), "headers": headers, **examined(body, headers)}
        with lock:
            kept.write(json.dumps(said) + "\n")
            kept.flush()
            os.fsync(kept.fileno())
        with open(arguments.mode, encoding="utf-8") as file:
            mode, *rest = file.read().split(maxsplit=1)
        if mode == "hang":
            time.sleep(600)
        elif mode == "cut":
            self.close_connection = True
        elif mode == "void":
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-le")
            self.close_connection = True
        elif mode == "echo":
            self.answer(400, json.dumps(said).encode())
        elif mode == "long":
            self.answer(500, b"\x1b[2Jx" * 100_000)
        elif mode == "redirect":
            self.answer(307, b"", {"location": rest[0].strip()})
        else:
            extra = {"retry-after": rest[0].strip()} if rest else {}
            self.answer(int(mode), b"so it is", extra)

    def answer(self, status, text, extra=None):
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(text)
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


server = Server(("127.0.0.1", arguments.port), Handler)
if arguments.certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.certificate, arguments.key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
