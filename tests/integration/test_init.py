"""What `stackup init` writes runs: a site and a Python program, on this machine's python3."""

from __future__ import annotations

from pathlib import Path

import pytest

from .testhost import TestHost

SERVER = """\
from http.server import BaseHTTPRequestHandler, HTTPServer


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from a program\\n")


if __name__ == "__main__":
    HTTPServer(("", 8123), Page).serve_forever()
"""


@pytest.mark.parametrize(
    ("file", "content", "port", "page"),
    [
        ("index.html", "hello from a site\n", 8000, "hello from a site"),
        ("serve.py", SERVER, 8123, "hello from a program"),
    ],
)
def test_what_init_writes_runs(host: TestHost, file: str, content: str, port: int, page: str) -> None:
    folder = host.folder / "shop"
    folder.mkdir()
    (folder / file).write_text(content)
    at = ("-C", str(folder))
    assert host.cli(*at, "init").stdout == f"{folder}/stack.yaml: a {kind(file)}\n"
    assert host.cli(*at, "check").stdout == ""
    host.cli(*at, "up", "--wait")
    fetch = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}', timeout=5).read().decode())"
    assert host.sh(f'python3 -c "{fetch}"').strip() == page
    host.cli(*at, "down")


def kind(file: str) -> str:
    return f"site, {file}" if Path(file).suffix == ".html" else f"Python program, {file}"
