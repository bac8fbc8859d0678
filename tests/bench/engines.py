"""The tools that are measured, each in a network and mount namespace and with folders of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import stacks
from .clock import Times, pss_kib, timed


class Namespace:
    """A holder process with a private network and mount namespace, without the cgroup2 mount beside the v1 ones
    (crun refuses a v1 host whose extra v2 mount offers controllers)."""

    def __init__(self) -> None:
        script = (
            "ip link set lo up; d=$(mktemp -d); mount -t sysfs none $d; mount --rbind /sys/fs/cgroup $d/fs/cgroup; "
            "mount --rbind $d /sys; umount /sys/fs/cgroup/unified $d/fs/cgroup/unified 2>/dev/null; "
            "umount -l $d; rmdir $d; echo ready; cat >/dev/null"
        )
        self.process = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        if self.process.stdout.readline() != b"ready\n":
            raise RuntimeError("the namespace for the measurement could not be made")

    def enter(self, *argv: str) -> list[str]:
        base = f"/proc/{self.process.pid}/ns"
        return ["nsenter", f"--net={base}/net", f"--mount={base}/mnt", "--", *argv]

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


class Stackup:
    name = "stackup"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.namespace = Namespace()
        self.env = {**os.environ, "STACKUP_ROOT": str(folder / "root")}

    def command(self, *argv: str) -> list[str]:
        return self.namespace.enter(sys.executable, "-m", "stackup", *argv)

    def measure(self, count: int, times: Times) -> int:
        """One cycle; returns the PSS of spawner and supervisor in KiB."""
        project = self.folder / f"stack{count}"
        project.mkdir(parents=True, exist_ok=True)
        file = project / "stack.yaml"
        file.write_text(stacks.stack_yaml(count))
        timed(self.command("-C", str(project), "build"), env=self.env)  # the image is present, as for the others
        up = self.command("-C", str(project), "up")
        times.add("up", timed(up, env=self.env))
        times.add("no-op up", timed(up, env=self.env))
        memory = pss_kib(self.engine_pids())
        file.write_text(stacks.stack_yaml(count, changed=3))
        times.add("one changed", timed(up, env=self.env))
        times.add("down", timed(self.command("-C", str(project), "down"), env=self.env))
        return memory

    def engine_pids(self) -> list[int]:
        root = str(self.folder / "root")
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    words = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace").split("\0")
                except OSError:
                    continue
                if any("stackup.runtime.spawner" in w or "stackup.engine.supervisor" in w for w in words) and any(
                    root in w for w in words
                ):
                    found.append(int(entry))
        return found

    def close(self) -> None:
        subprocess.run(self.command("uninstall", "--yes"), env=self.env, capture_output=True, timeout=120)
        self.namespace.close()


class DockerCompose:
    name = "docker-compose"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.namespace = Namespace()
        socket = f"unix://{folder}/docker.sock"
        self.env = {**os.environ, "DOCKER_HOST": socket, "COMPOSE_HTTP_TIMEOUT": "600", "COMPOSE_PARALLEL_LIMIT": "64"}
        log = (folder / "dockerd.log").open("wb")
        self.daemon = subprocess.Popen(
            self.namespace.enter(
                "dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "-H", socket,
                "-p", f"{folder}/dockerd.pid", "--storage-driver", "overlay2", "--bip", "10.231.0.1/20",
                "--default-address-pool", "base=10.232.0.0/14,size=20",
            ),
            stdout=log, stderr=log,
        )  # fmt: skip
        self._await_daemon()
        stacks.image_tar(folder / "bb.tar")
        subprocess.run(
            self.docker("import", str(folder / "bb.tar"), "bb"), env=self.env, check=True, capture_output=True
        )

    @staticmethod
    def installed() -> bool:
        return all(shutil.which(p) for p in ("dockerd", "docker", "docker-compose"))

    def _await_daemon(self) -> None:
        for _ in range(300):
            if subprocess.run(self.docker("info"), env=self.env, capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError(f"dockerd did not start, see {self.folder}/dockerd.log")

    def docker(self, *argv: str) -> list[str]:
        return self.namespace.enter("docker", *argv)

    def measure(self, count: int, times: Times) -> int:
        """One cycle; returns the PSS of dockerd, containerd and the shims in KiB."""
        plain, changed = self.folder / f"c{count}.yml", self.folder / f"c{count}x.yml"
        plain.write_text(stacks.compose_yaml(count))
        changed.write_text(stacks.compose_yaml(count, changed=3))
        compose = self.namespace.enter("docker-compose", "-p", "bench", "-f")
        times.add("up", timed([*compose, str(plain), "up", "-d"], env=self.env))
        times.add("no-op up", timed([*compose, str(plain), "up", "-d"], env=self.env))
        memory = pss_kib(self.engine_pids())
        times.add("one changed", timed([*compose, str(changed), "up", "-d"], env=self.env))
        times.add("down", timed([*compose, str(changed), "down", "-t", "0"], env=self.env))
        return memory

    def engine_pids(self) -> list[int]:
        mine = os.readlink(f"/proc/{self.namespace.process.pid}/ns/net")
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                name = Path(f"/proc/{entry}/comm").read_text().strip()
                if name.startswith(("dockerd", "containerd", "docker-proxy")) and (
                    os.readlink(f"/proc/{entry}/ns/net") == mine
                ):
                    found.append(int(entry))
            except OSError:
                continue
        return found

    def close(self) -> None:
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait(60)
        self.namespace.close()


class Podman:
    """No compose here: `podman run -d` for each service, four at a time, and `podman rm` of all."""

    name = "podman run -P4"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.namespace = Namespace()
        hard = os.popen("ulimit -Hn").read().strip()
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
        )
        (folder / "containers.conf").write_text(
            f'[containers]\ndefault_ulimits = ["nofile={hard}:{hard}", "nproc=4096:4096"]\n'
            f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{folder}/networks"\n'
            f'[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "crun"\n'
            f'tmp_dir = "{folder}/tmp"\n'
        )
        self.env = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": f"{folder}/storage.conf",
            "CONTAINERS_CONF": f"{folder}/containers.conf",
        }
        # podman's containers live in the mount namespace of one shell, so a whole cycle runs in this namespace
        stacks.image_tar(folder / "bb.tar")
        self.podman("import", str(folder / "bb.tar"), "localhost/bb")
        self.podman("network", "create", "q")

    @staticmethod
    def installed() -> bool:
        return all(shutil.which(p) for p in ("podman", "crun")) and (
            os.path.exists("/usr/lib/podman/netavark") or shutil.which("netavark") is not None
        )

    def podman(self, *argv: str) -> None:
        done = subprocess.run(
            self.namespace.enter("podman", *argv), env=self.env, capture_output=True, text=True, timeout=120
        )
        if done.returncode != 0:
            raise RuntimeError(f"podman {' '.join(argv)}: {done.stderr[-2000:]}")

    def measure(self, count: int, times: Times) -> int:
        run = (
            f"seq {count} | xargs -P 4 -I@ podman run --pull=never -d --name q@ --network q -m 64m localhost/bb "
            + " ".join(stacks.SLEEP)
        )
        times.add("up", timed(self.namespace.enter("sh", "-ec", run), env=self.env))
        memory = pss_kib(self.engine_pids())
        remove = f"podman rm -ft0 $(seq -f q%g {count})"
        times.add("down", timed(self.namespace.enter("sh", "-ec", remove), env=self.env))
        return memory

    def engine_pids(self) -> list[int]:
        mine = os.readlink(f"/proc/{self.namespace.process.pid}/ns/mnt")
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                name = Path(f"/proc/{entry}/comm").read_text().strip()
                if name in ("conmon", "aardvark-dns") and os.readlink(f"/proc/{entry}/ns/mnt") == mine:
                    found.append(int(entry))
            except OSError:
                continue
        return found

    def close(self) -> None:
        try:
            self.podman("network", "rm", "-f", "q")
        finally:
            self.namespace.close()
