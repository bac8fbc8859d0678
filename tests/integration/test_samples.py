"""The samples, really run: what their files and the README say of them holds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from .network_site import bridge_netfilter
from .testhost import TestHost, eventually

SAMPLES = Path(__file__).parents[2] / "samples"
PAGE = "http://127.0.0.1:8080/"


class Sample:
    """A copy of a sample's folder, and the verbs in it."""

    def __init__(self, host: TestHost, name: str) -> None:
        self.host = host
        self.folder = host.folder / name
        shutil.copytree(SAMPLES / name, self.folder)

    def __call__(self, *argv: str, **options: Any) -> str:
        return str(self.host.cli("-C", str(self.folder), *argv, **options).stdout)

    def rows(self) -> dict[str, dict[str, Any]]:
        """`web/1` -> its row of ps."""
        return {f"{r['service']}/{r['number']}": r for r in json.loads(self("ps", "--format", "json"))}

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


def ours(host: TestHost, module: str) -> int:
    """Pid of this root's spawner or supervisor, by the command line that the kernel shows."""
    wanted = f"-m\0stackup.{module}\0".encode()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{entry}/cmdline").read_bytes()
        except OSError:
            continue
        if wanted in line and f"--root\0{host.root}\0".encode() in line:
            return int(entry)
    raise AssertionError(f"no {module} runs for {host.root}")


def fetch(url: str = PAGE, entry: str | None = None) -> str:
    """The page; with `entry` signed first. To be called inside the test host."""
    data = urllib.parse.urlencode({"entry": entry}).encode() if entry is not None else None
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, data, timeout=10) as answer:
        return str(answer.read().decode())


def who_answers(count: int) -> set[str]:
    return {fetch().partition("answered by ")[2].partition("<")[0] for _ in range(count)}


def test_hello_says_hello_and_goes(host: TestHost) -> None:
    hello = Sample(host, "hello")
    hello("up")
    row = hello.rows()["hello/1"]
    assert (row["state"], row["image"]) == ("running", "hello/tools")
    # The log is written by a pump of its own, so the first line may come a moment after `up` is done.
    line = eventually(lambda: hello("logs"))
    assert line.startswith(f"hello-1 | hello from {row['id']}, it is ")
    hello("down")
    assert not hello.rows()
    assert host.leftovers() == []


@pytest.mark.parametrize("nf_call", [0, 1])
def test_guestbook_serves_its_page_from_both_replicas(host: TestHost, nf_call: int) -> None:
    host.call(bridge_netfilter, nf_call)
    guestbook = Sample(host, "guestbook")
    said = guestbook("up", "--wait")
    assert said == f'web -> {PAGE[:-1]} (this machine only; "0.0.0.0:8080:8080" opens it)\n'
    rows = guestbook.rows()
    assert {name: row["health"] for name, row in rows.items()} == {
        "store/1": "healthy", "web/1": "healthy", "web/2": "healthy",
    }  # fmt: skip
    assert "<p>Hello! Every line below lives on the volume of the store.</p>" in host.call(fetch)
    assert host.call(who_answers, 40) == {rows["web/1"]["id"], rows["web/2"]["id"]}
    assert guestbook("exec", "web", "python3", "-c", "import os; print(os.getuid())") == "1000\n"
    assert "<li>from a test</li>" in host.call(fetch, PAGE, "from a test")
    guestbook("down", "-v")
    assert host.leftovers() == []


@pytest.mark.parametrize("nf_call", [0, 1])
def test_guestbook_keeps_its_entries_whatever_is_killed(host: TestHost, nf_call: int) -> None:
    host.call(bridge_netfilter, nf_call)
    guestbook = Sample(host, "guestbook")
    guestbook("up", "--wait")
    host.call(fetch, PAGE, "first")

    guestbook("restart")
    guestbook("up", "--wait")  # nothing to do but to wait until they listen again
    served(host, "first")

    containers = {name: row["pid"] for name, row in guestbook.rows().items()}
    kills = {
        "supervisor": ("engine.supervisor",),
        "spawner": ("runtime.spawner",),
        "both": ("runtime.spawner", "engine.supervisor"),
    }
    for what, modules in kills.items():
        pids = [ours(host, module) for module in modules]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        # Containers, bridge and rules stand without us, so the page is served at once and names are known again soon.
        eventually(lambda pids=pids: not any(map(_runs, pids)))
        guestbook("up", "--wait")
        host.call(fetch, PAGE, f"after {what}")
        served(host, "first", f"after {what}")
        assert {name: row["pid"] for name, row in guestbook.rows().items()} == containers, what

    guestbook("down")
    assert host.leftovers() == []
    guestbook("up", "--wait")
    served(host, "first", "after supervisor", "after spawner", "after both")

    assert os.listdir(host.root / "volumes")
    guestbook("down", "-v")
    assert not os.listdir(host.root / "volumes")
    guestbook("up", "--wait")
    assert "<ul></ul>" in host.call(fetch)
    guestbook("down", "-v")


def served(host: TestHost, *entries: str) -> None:
    page = host.call(fetch)
    for entry in entries:
        assert f"<li>{entry}</li>" in page


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_quotas_hold(host: TestHost) -> None:
    quotas = Sample(host, "quotas")
    quotas("up")
    ended = eventually(
        lambda: (t := quotas("ps")).count("running") == 1 and t, message="two services should have ended"
    )
    assert "OOM-killed at 64M" in next(line for line in ended.splitlines() if line.startswith("memory/1"))
    said = eventually(lambda: quotas("logs", "pids"))
    children = int(said.partition("|")[2].split()[0])
    assert 13 <= children <= 15 and "Resource temporarily unavailable" in said  # 16 with python itself
    share_of_a_core(host, quotas.rows()["cpus/1"]["id"])
    quotas("down")


def share_of_a_core(host: TestHost, container: str) -> None:
    """Between 20 and 30 % over 5 s of the group's own account. A machine busy with other things may give less for a
    while, never more: so one window of a few has to reach the lower bound, and none may pass the upper."""
    account = cpu_account(host, container)
    shares: list[float] = []
    while not shares or shares[-1] < 20:
        assert len(shares) < 5, f"never reached its share: {shares}"
        used, began = account(), time.monotonic()
        time.sleep(5)
        shares.append((account() - used) / (time.monotonic() - began) * 100)
        assert shares[-1] <= 30


def cpu_account(host: TestHost, container: str) -> Any:
    """Seconds of CPU that the container's group has used, asked of the kernel."""
    groups = [g for g in host.cgroups() if g.name == container]
    for group in groups:
        if (file := group / "cpuacct.usage").exists():
            return lambda: int(file.read_text()) / 1e9
        if (file := group / "cpu.stat").exists() and "usage_usec" in file.read_text():
            return lambda: int(file.read_text().split()[1]) / 1e6
    raise AssertionError(f"no account of CPU time in {groups}")


def test_pipeline_builds_once(host: TestHost) -> None:
    pipeline = Sample(host, "pipeline")
    first = host.cli("-C", str(pipeline.folder), "build")
    assert "Ran 1 test" in first.stderr
    assert {line.split()[0] for line in first.stdout.splitlines()} == {
        "pipeline/toolbox", "pipeline/tested", "pipeline/app",
    }  # fmt: skip
    second = host.cli("-C", str(pipeline.folder), "build")
    assert set(second.stderr.splitlines()) == {f"image:{n}: unchanged" for n in ("toolbox", "tested", "app")}
    assert sorted(second.stdout.splitlines()) == sorted(first.stdout.splitlines())
    assert host.leftovers() == []  # no supervisor, no bridge


def test_pipeline_fails_with_its_test_and_names_the_line(host: TestHost) -> None:
    pipeline = Sample(host, "pipeline")
    pipeline.edit("src/greeter.py", "hello, {name}", "good bye, {name}")
    # Not by `host.cli`, which takes the test's traceback for one of ours.
    build = host.popen("-C", str(pipeline.folder), "build", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    stdout, stderr = build.communicate(timeout=90)
    assert build.returncode == 1
    assert "image:tested | AssertionError: 'good bye, world' != 'hello, world'" in stderr
    number = next(
        number
        for number, line in enumerate((pipeline.folder / "stack.yaml").read_text().splitlines(), 1)
        if "unittest" in line
    )
    (error,) = [line for line in stderr.splitlines() if line.startswith("error:")]
    assert f"stack.yaml:{number}:" in error and "unittest" in error and "ended with status 1" in error
    assert "pipeline/tested" not in stdout

    pipeline.edit("src/greeter.py", "good bye, {name}", "hello, {name}")
    assert "pipeline/tested" in pipeline("build")
