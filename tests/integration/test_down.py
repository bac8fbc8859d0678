"""`down` takes everything away: whatever the container does, wherever the file is, and only this stack."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from .project import Project
from .testhost import CGROUP_FS, TestHost, eventually

QUIET = "  web: {image: tools, command: [sleep, infinity], stop_signal: SIGKILL}\n"


def test_a_container_that_ignores_its_stop_signal_is_killed_after_its_grace(host: TestHost) -> None:
    loop = 'trap "" TERM INT HUP; echo ready; while :; do sleep 0.1; done'
    project = Project(
        host, f"  deaf: {{image: tools, stop_grace_period: 300ms, command: [sh, -c, '{loop}'], restart: always}}\n"
    )
    project.up()
    eventually(lambda: project.lines() == ["ready"])
    project.down()
    assert host.leftovers() == []


def test_of_two_stacks_the_other_one_is_not_touched(host: TestHost) -> None:
    ours, theirs = Project(host, QUIET, name="ours"), Project(host, QUIET, name="theirs")
    ours.up()
    theirs.up()
    before = theirs.row("web")
    ours.down()
    assert ours.rows() == []
    assert {k: theirs.row("web")[k] for k in ("id", "pid", "addresses")} == {
        k: before[k] for k in ("id", "pid", "addresses")
    }
    assert theirs.cli("plan").startswith("nothing to do")
    theirs.down()
    assert host.leftovers() == []


@pytest.mark.parametrize("gone", ["file", "folder"])
def test_a_stack_whose_file_is_gone_is_found_by_its_folder_and_by_its_name(host: TestHost, gone: str) -> None:
    project = Project(host, QUIET)
    for words in (("-C", str(project.folder)), ("-p", "shop")):
        project.write(QUIET)
        project.up()
        if gone == "file":
            (project.folder / "stack.yaml").unlink()
        else:
            shutil.rmtree(project.folder)
        assert "shop/tools" in host.cli(*words, "ps").stdout
        host.cli(*words, "down")
        assert host.leftovers() == []
        project.folder.mkdir(exist_ok=True)
        (project.folder / "stack.yaml").unlink(missing_ok=True)
        missing = host.cli("-C", str(project.folder), "down", status=2).stderr
        assert "no stack file" in missing


def test_a_process_that_does_not_die_is_named_and_down_can_be_said_again(host: TestHost) -> None:
    freezer = CGROUP_FS / "freezer"
    if not (freezer / "cgroup.procs").exists():
        pytest.skip("no freezer of version 1, which holds a process against SIGKILL")
    project = Project(host, QUIET)
    project.up()
    pid = project.row("web")["pid"]
    group = freezer / "stackup" / str(host.root_id()) / "test"
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text(str(pid))
    (group / "freezer.state").write_text("FROZEN")
    try:
        done = host.cli("-C", str(project.folder), "down", status=1)
        assert f"process {pid} of service:web/1 does not die of SIGKILL" in done.stderr
        assert project.row("web")["pid"] == pid
    finally:
        (group / "freezer.state").write_text("THAWED")
        eventually(lambda: not Path(f"/proc/{pid}").exists())
        while group != freezer:
            group.rmdir()
            group = group.parent
            if os.listdir(group) and any(p.is_dir() for p in group.iterdir()):
                break
    project.down()
    assert host.leftovers() == []


def test_another_project_of_the_same_name_is_told_whose_place_it_takes(host: TestHost) -> None:
    first = Project(host, QUIET)
    first.up()
    assert "was brought up from" not in first.cli("plan")
    other = host.folder / "other"
    shutil.copytree(first.folder, other)
    text = (other / "stack.yaml").read_text().replace("infinity", "1000")
    (other / "stack.yaml").write_text(text)
    told = f"stack shop was brought up from {first.folder}/stack.yaml; this file takes its place"
    assert f"note: {told}" in host.cli("-C", str(other), "plan").stdout
    assert f"warning: {told}" in host.cli("-C", str(other), "up").stderr
    assert "takes its place" not in host.cli("-C", str(other), "plan").stdout
    host.cli("-C", str(other), "down")
