"""Keeps the entries of the guestbook: a line in, a line on the disk. Speaks a two-word protocol on port 7000.

`ADD text` answers `OK` once the line is on the disk; `LIST` answers every line, then an empty one.
"""

import os
import signal
import socketserver
import sys
import threading

FILE = "/data/entries.txt"
LOCK = threading.Lock()


class Handler(socketserver.StreamRequestHandler):
    timeout = 10

    def handle(self) -> None:
        request = self.rfile.readline(4096).decode(errors="replace").strip()
        if request.startswith("ADD "):
            self.add(request[4:])
        elif request == "LIST":
            self.list()

    def add(self, text: str) -> None:
        with LOCK, open(FILE, "a", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        print(f"added: {text}", flush=True)
        self.wfile.write(b"OK\n")

    def list(self) -> None:
        with LOCK:
            try:
                with open(FILE, "rb") as file:
                    self.wfile.write(file.read())
            except FileNotFoundError:
                pass
        self.wfile.write(b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server(("0.0.0.0", 7000), Handler) as server:
        print("store is listening on port 7000", flush=True)
        server.serve_forever()


main()
