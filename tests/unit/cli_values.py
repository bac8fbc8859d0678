"""What the command line's tests share: a command line run in this process, and rows as the engine gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from stackup.__main__ import main
from stackup.engine.views import Published, Replica

STACK = """name: shop
images: {app: {layers: [{file: {target: /a, content: b}}]}}
services:
  web: {image: app, ports: ["8080:80"]}
  store: {image: app}
"""


@dataclass
class Ran:
    status: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> Ran:
    capsys.readouterr()
    try:
        status = main(list(argv))
    except SystemExit as error:
        status = int(error.code or 0)
    said = capsys.readouterr()
    return Ran(status, said.out, said.err)


def replica(service: str = "web", number: int = 1, **more: Any) -> Replica:
    facts: dict[str, Any] = {"id": "0123456789ab", "image": "shop/app", "state": "running", "started_at": 1000.0}
    return Replica(stack="shop", service=service, number=number, name=f"shop-{service}-{number}", **(facts | more))


PORT = Published(service="web", host_ip="127.0.0.1", published=8080, target=80)
