"""`images`, `image inspect`, `image rm` and `rmi` of what the stack uses and of what it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .project import Project
from .testhost import TestHost

pytestmark = pytest.mark.root

SERVICES = """
  web: {image: app, command: [sleep, infinity], network_mode: none, stop_signal: SIGKILL}
"""
IMAGES = """
  app: {from: tools, layers: [{file: {target: /greeting, content: hi}}], config: {labels: {a: b}}}
  spare: {layers: [{file: {target: /x, content: y}}]}
"""


@pytest.fixture
def shop(host: TestHost) -> Project:
    project = Project(host, SERVICES, images=IMAGES)
    project.cli("build")
    return project


def test_images_are_listed_and_inspected_with_what_ties_them(shop: Project) -> None:
    listed = {names[0]: i for i in json.loads(shop.cli("images", "--format", "json")) if (names := i["names"])}
    assert {name: i["host_bound"] for name, i in listed.items()} == {
        "shop/app": True, "shop/spare": False, "shop/tools": True,
    }  # fmt: skip
    one = json.loads(shop.cli("image", "inspect", "shop/app"))
    assert one == listed["shop/app"] and one["base"] == listed["shop/tools"]["digest"]
    assert one["config"]["config"]["Labels"] == {"a": "b"}
    assert [h["created_by"] for h in one["history"]][1:] == ["file /greeting"]
    assert json.loads(shop.cli("image", "inspect", one["digest"][7:20])) == one
    lines = shop.cli("image", "ls").splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(listed) and "this machine" in lines[1]


def test_an_image_that_a_container_uses_stays(shop: Project) -> None:
    shop.up()
    said = refused(shop, "image", "rm", "shop/app")
    assert "image shop/app is used by container" in said and "--force" in said
    assert shop.cli("rmi", "--force", "shop/app") == "untagged shop/app\n"
    assert shop.inside("web", "cat", "/greeting") == "hi"
    shop.down()


def test_removing_tells_what_went_before_a_name_that_is_not_there(shop: Project) -> None:
    done = shop.host.cli("rmi", "shop/spare", "nosuch", "shop/app", status=1)
    assert done.stdout.splitlines()[0] == "untagged shop/spare" and "deleted sha256:" in done.stdout
    assert "the store has no image nosuch" in done.stderr
    assert "shop/app" in shop.cli("images")


def refused(project: Project, *argv: str) -> Any:
    return project.host.cli(*argv, status=1).stderr
