"""The guestbook of the README loads into the canonical model, and each value knows where it was written."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stackup.errors import BadInput, SpecErrors
from stackup.spec.layers import Copy, HostPrograms, Run, Template
from stackup.spec.load import load, load_text
from stackup.spec.model import Dependency, Loaded, Port, Resources, Restart, VolumeMount

GUESTBOOK = """\
name: guestbook
images:
  python: {layers: [{host: {programs: [python3, sh, ls, cat]}}]}
  store:
    from: python
    layers: [{copy: "./store:/app"}]
    config: {command: [python3, /app/store.py]}
  web:
    from: python
    layers:
      - copy: {source: ./web, target: /app}
      - run: python3 -m compileall -q /app
      - template: {source: ./motd.j2, target: /etc/motd, vars: {greeting: hello}}
    config: {command: [python3, /app/web.py], environment: {PORT: "8080"}, working_dir: /app, user: "1000"}
services:
  store: {image: store, volumes: ["data:/data"], resources: {memory: 64M, cpus: 0.25, pids: 32},
          healthcheck: {test: [CMD, python3, /app/check.py], interval: 2s}}
  web: {image: web, replicas: 2, ports: ["8080:8080"], environment: {STORE: "store:7000"},
        depends_on: {store: {condition: service_healthy}}, restart: on-failure,
        resources: {memory: 128M, cpus: 0.5, pids: 64}}
volumes: {data: {}}
"""


def guestbook(folder: Path) -> Loaded:
    (folder / "store").mkdir()
    (folder / "web").mkdir()
    (folder / "motd.j2").write_text("{{ vars.greeting }}")
    (folder / "stack.yaml").write_text(GUESTBOOK)
    return load(str(folder), environment={})


def test_the_guestbook_loads(tmp_path: Path) -> None:
    stack = guestbook(tmp_path).stack
    assert (stack.name, stack.folder, stack.file) == ("guestbook", str(tmp_path), str(tmp_path / "stack.yaml"))
    assert stack.images["python"].layers == (HostPrograms(programs=("python3", "sh", "ls", "cat")),)
    assert stack.images["web"].base == "python"
    assert stack.images["web"].layers == (
        Copy(source="./web", target="/app"),
        Run(command=("/bin/sh", "-ec", "python3 -m compileall -q /app")),
        Template(source="./motd.j2", target="/etc/motd", vars={"greeting": "hello"}),
    )
    assert stack.images["web"].config.user == "1000"
    web = stack.services["web"]
    assert web.ports == (Port(target=8080, published=8080),)
    assert web.depends_on == {"store": Dependency(condition="service_healthy")}
    assert web.restart == Restart(policy="on-failure")
    assert web.resources == Resources(memory=128 << 20, cpus=0.5, pids=64)
    assert stack.services["store"].volumes == (VolumeMount(type="volume", source="data", target="/data"),)
    assert list(stack.networks) == ["default"] == list(web.networks)


def test_values_know_their_place(tmp_path: Path) -> None:
    origins = guestbook(tmp_path).origins
    assert origins["services", "web", "resources", "memory"] == ("stack.yaml", 20, 29)
    assert origins["images", "web", "layers", 1] == ("stack.yaml", 12, 9)
    assert origins["services", "web", "ports", 0, "published"] == ("stack.yaml", 18, 42)
    assert origins["images", "store"] == ("stack.yaml", 4, 3)


def test_an_open_input_without_a_terminal_is_warned_about() -> None:
    text = "services: {web: {image: 'a:1', stdin_open: true%s}}\n"
    (warning,) = load_text(text % "", "/stacks/demo/stack.yaml", environment={}).warnings
    assert warning.startswith("stack.yaml:1:44: services.web.stdin_open: has no effect yet")
    assert load_text(text % ", tty: true", "/stacks/demo/stack.yaml", environment={}).warnings == ()


def test_many_of_a_thing_cost_no_more_than_so_many_times_one(tmp_path: Path) -> None:
    """Nothing here may be quadratic, or call itself a thousand times."""
    extends = "".join(f"  s{i}: {{extends: s{i + 1}, user: '1'}}\n" for i in range(1000))
    mounts = "".join(f"  s{i}: {{image: 'a:1', volumes_from: [s{i + 1}]}}\n" for i in range(1000))
    last = "  s1000: {image: 'a:1', volumes: ['/a:/a']}\n"
    documents = (f"services: {{web: {{image: 'a:1', ports: ['{20000 + i}:80']}}}}\n" for i in range(1000))
    wrong = "".join(f"  service_number_{i}: {{image: 'a:1', depends_on: [servixe_number_{i}]}}\n" for i in range(300))
    for text in (f"services:\n{extends}{last}", f"services:\n{mounts}{last}", "---\n".join(documents)):
        before = time.process_time()
        load_text(text, str(tmp_path / "stack.yaml"), environment={})
        assert time.process_time() - before < 5, "seconds, where it takes a fifth of one"
    before = time.process_time()
    with pytest.raises(SpecErrors, match="did you mean 'service_number_299'"):
        load_text(f"services:\n{wrong}", str(tmp_path / "stack.yaml"), environment={})
    assert time.process_time() - before < 5


def test_what_grows_without_end_is_refused(tmp_path: Path) -> None:
    line = "  s{}: {{image: 'a:1', volumes_from: [s{}], volumes: ['/x:/m{}']}}\n"
    mounts = "".join(line.format(i, i - 1, i) for i in range(1, 999))
    text = f"services:\n  s0: {{image: 'a:1', volumes: ['/a:/a']}}\n{mounts}"
    with pytest.raises(BadInput, match="makes more than 50000 mounts"):
        load_text(text, str(tmp_path / "stack.yaml"), environment={})
    extends = "".join(f"  s{i}: {{extends: s{i - 1}, environment: [A{i}=1]}}\n" for i in range(1, 1200))
    with pytest.raises(BadInput, match="extend each other have more than 500000 values"):
        load_text(f"services:\n  s0: {{image: 'a:1'}}\n{extends}", str(tmp_path / "stack.yaml"), environment={})
    for i in range(60):
        (tmp_path / f"{i}.yaml").write_text(f"include: [{i + 1}.yaml]\n")
    with pytest.raises(SpecErrors, match="more than 50 deep"):
        load(str(tmp_path), ["0.yaml"], environment={})


def test_included_projects_are_read_once(tmp_path: Path) -> None:
    """Two ways lead to each of twelve projects: 4,096 ways to the last one."""
    for i in range(12):
        (tmp_path / f"{i}.yaml").write_text(f"include: [{i}a.yaml, {i}b.yaml]\n")
        for beside in "ab":
            (tmp_path / f"{i}{beside}.yaml").write_text(f"include: [{i + 1}.yaml]\n")
    (tmp_path / "12.yaml").write_text("services: {web: {image: 'a:1'}}\n")
    loaded = load(str(tmp_path), ["0.yaml"], environment={})
    assert list(loaded.stack.services) == ["web"] and len(loaded.files) == 37


def test_very_many_problems_are_counted(tmp_path: Path) -> None:
    lines = "".join(f"  a{i}: {{image: 'a:1', tty: maybe}}\n" for i in range(700))
    with pytest.raises(SpecErrors) as raised:
        load_text(f"services:\n{lines}", str(tmp_path / "stack.yaml"), environment={})
    assert len(raised.value.problems) == 700
    assert str(raised.value).endswith("\n... and 200 more problems like these")


def test_a_command_that_no_program_could_be_given_is_told(tmp_path: Path) -> None:
    text = f"services: {{web: {{image: 'a:1', command: '{'a ' * 70_000}'}}}}\n"
    with pytest.raises(SpecErrors, match="a text of 140000 characters is no command"):
        load_text(text, str(tmp_path / "stack.yaml"), environment={})


def test_ranges_and_files_have_a_bound_over_all(tmp_path: Path) -> None:
    ranges = "".join(f"  s{i}: {{image: 'a:1', expose: ['1-1000']}}\n" for i in range(60))
    with pytest.raises(SpecErrors, match="all ports of the stack are more than 50000"):
        load_text(f"services:\n{ranges}", str(tmp_path / "stack.yaml"), environment={})
    values = ", ".join(f"A{i}: b" for i in range(1000))
    services = "".join(f"  s{i}: {{image: 'a:1', environment: {{{values}}}}}\n" for i in range(40))
    (tmp_path / "big.yaml").write_text(f"services:\n{services}")
    entries = ""
    for i in range(14):
        (tmp_path / str(i)).mkdir()
        entries += f"  - {{path: big.yaml, project_directory: '{i}'}}\n"
    (tmp_path / "stack.yaml").write_text(f"include:\n{entries}")
    with pytest.raises(BadInput, match="the files of this stack have more than 500000 values"):
        load(str(tmp_path), environment={})
