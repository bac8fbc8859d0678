"""The page of the guestbook: shows the entries, takes new ones, says which replica answered."""

import html
import os
import signal
import socket
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STORE_HOST, STORE_PORT = os.environ["STORE"].split(":")
PAGE = """<!doctype html>
<meta charset="utf-8"><title>Guestbook</title>
<h1>Guestbook</h1>
<p>{motd}</p>
<form method="post"><input name="entry" maxlength="200" required autofocus> <button>Sign</button></form>
<ul>{entries}</ul>
<p><small>answered by {replica}</small></p>
"""


def ask(request: str) -> list[str]:
    """Send one line to the store; its answer's lines."""
    with socket.create_connection((STORE_HOST, int(STORE_PORT)), timeout=5) as connection:
        connection.sendall(request.encode() + b"\n")
        with connection.makefile("r", encoding="utf-8") as answer:
            return [line.rstrip("\n") for line in answer if line.strip()]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        entries = "".join(f"<li>{html.escape(line)}</li>" for line in ask("LIST"))
        with open("/etc/motd", encoding="utf-8") as file:
            motd = html.escape(file.read().strip())
        self.answer(PAGE.format(motd=motd, entries=entries, replica=socket.gethostname()))

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length", 0)), 4096)
        form = urllib.parse.parse_qs(self.rfile.read(length).decode(errors="replace"))
        entry = " ".join(form.get("entry", [""])[0].split())[:200]
        if entry:
            ask("ADD " + entry)
        self.send_response(303)
        self.send_header("Location", "/")
        self.end_headers()

    def answer(self, page: str) -> None:
        body = page.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    port = int(os.environ["PORT"])
    print(f"web is listening on port {port}, the store is {STORE_HOST}:{STORE_PORT}", flush=True)
    ThreadingHTTPServer(("", port), Handler).serve_forever()


main()
