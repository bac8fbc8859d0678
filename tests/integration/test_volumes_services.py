from __future__ import annotations

import os

from .project import Project
from .testhost import TestHost

SLEEP = "command: [sleep, infinity], stop_signal: SIGKILL, network_mode: none"

TMPFS = "{type: tmpfs, target: /run/x, tmpfs: {size: 1M}}"
FILLED = """
  filled:
    from: tools
    layers:
      - file: {target: /data/from-image, content: "hello", owner: "1000:1000", mode: "0640"}
"""


def test_a_fresh_volume_takes_the_images_folder_and_outlives_its_containers(host: TestHost) -> None:
    project = Project(
        host, f"  web: {{image: filled, {SLEEP}, volumes: ['data:/data']}}\nvolumes: {{data: {{}}}}\n", images=FILLED
    )
    project.up()
    assert project.inside("web", "stat", "-c", "%u:%g %a", "/data/from-image").strip() == "1000:1000 640"
    project.inside("web", "sh", "-c", "echo mine >/data/mine")
    project.down()
    project.up()
    assert project.inside("web", "cat", "/data/mine") == "mine\n"
    info = os.stat(host.root / "volumes/shop_data/mine")
    assert (info.st_uid, info.st_gid) == (0, 0)  # the container's own ids, not the shifted ones
    project.down("-v")
    assert not os.path.exists(host.root / "volumes/shop_data")


def test_a_volume_has_the_name_that_the_file_gives_it(host: TestHost) -> None:
    services = f"  web: {{image: tools, {SLEEP}, volumes: ['data:/data']}}\n  side: {{image: tools, {SLEEP}}}\n"
    project = Project(host, services + "volumes: {data: {name: records}}\n")
    project.up()
    project.inside("web", "touch", "/data/first")
    before = project.row("side")["pid"]
    assert project.cli("plan").startswith("nothing to do")
    assert os.listdir(host.root / "volumes") == ["records"]
    thief = Project(host, services + "volumes: {data: {name: records}}\n", name="thief")
    assert "volume records belongs to stack shop" in host.cli("-C", str(thief.folder), "up", status=1).stderr
    thief.down("-v")
    guest = Project(host, services + "volumes: {data: {name: records, external: true}}\n", name="guest")
    guest.up()
    assert guest.inside("web", "ls", "/data") == "first\n"
    guest.down("-v")

    # Another name is another volume, and a container keeps the one that it was made with.
    project.write(services + "volumes: {data: {name: others}}\n")
    project.up("side")
    project.cli("restart", "web")
    assert project.inside("web", "ls", "/data") == "first\n"
    assert "replace service:web: volumes [records:/data] -> [others:/data]" in project.cli("plan")
    project.up()
    assert project.inside("web", "ls", "/data") == ""
    assert project.row("side")["pid"] == before
    assert sorted(os.listdir(host.root / "volumes")) == ["others", "records"]
    project.down("-v")
    assert os.listdir(host.root / "volumes") == []


def test_an_anonymous_volume_goes_with_its_container(host: TestHost) -> None:
    project = Project(host, f"  web: {{image: tools, {SLEEP}, volumes: ['/scratch']}}\n")
    project.up()
    project.inside("web", "touch", "/scratch/file")
    (name,) = os.listdir(host.root / "volumes")
    assert os.listdir(host.root / "volumes" / name) == ["file"]
    project.down()
    assert os.listdir(host.root / "volumes") == []


def test_a_bind_source_shows_its_owner_as_the_containers_root_and_nobody_else(host: TestHost) -> None:
    source = host.folder / "site"
    source.mkdir()
    (source / "theirs").write_text("")
    os.chown(source, 1234, 1235)
    project = Project(host, f"  web: {{image: tools, {SLEEP}, volumes: ['{source}:/site']}}\n")
    project.up()
    project.inside("web", "touch", "/site/mine")
    info = os.stat(source / "mine")
    assert (info.st_uid, info.st_gid) == (1234, 1235)
    assert project.inside("web", "stat", "-c", "%u", "/site/theirs").strip() == "65534"  # host's root is nobody here
    project.down()


def test_a_read_only_volume_and_a_tmpfs_are_what_they_say(host: TestHost) -> None:
    project = Project(
        host,
        f"  web: {{image: tools, {SLEEP}, volumes: ['data:/data:ro', {TMPFS}]}}\nvolumes: {{data: {{}}}}\n",
    )
    project.up()
    refused = host.cli("-C", str(project.folder), "exec", "web", "touch", "/data/file", status=None)
    assert "Read-only file system" in refused.stderr
    project.inside("web", "touch", "/run/x/file")
    assert " /run/x tmpfs rw," in project.inside("web", "cat", "/proc/mounts")
    project.down("-v")


def test_a_volume_that_another_stack_mounts_is_not_taken_away(host: TestHost) -> None:
    owner = Project(host, f"  web: {{image: tools, {SLEEP}, volumes: ['data:/data']}}\nvolumes: {{data: {{}}}}\n")
    owner.up()
    owner.inside("web", "touch", "/data/precious")
    guest = Project(
        host,
        f"  web: {{image: tools, {SLEEP}, volumes: ['data:/data']}}\n"
        "volumes: {data: {external: true, name: shop_data}}\n",
        name="guest",
    )
    guest.up()
    assert guest.inside("web", "ls", "/data") == "precious\n"
    done = host.cli("-C", str(owner.folder), "down", "-v", status=1)
    assert "volume shop_data is in use by guest service:web/1" in done.stderr
    assert guest.inside("web", "ls", "/data") == "precious\n"
    guest.down("-v")
    assert (host.root / "volumes/shop_data/precious").exists()  # another stack's volume
    owner.down("-v")
    assert not (host.root / "volumes/shop_data").exists()


def test_a_container_plants_no_setuid_file_for_other_users_of_the_host(host: TestHost) -> None:
    source = host.folder / "site"
    source.mkdir()
    os.chown(source, 0, 0)
    source.chmod(0o777)
    tools = "  chmod: {layers: [{host: {programs: [sh, cat, chmod, cp, id, sleep]}}]}\n"
    project = Project(host, f"  web: {{image: chmod, {SLEEP}, volumes: ['{source}:/site']}}\n", images=tools)
    project.up()
    for mode in ("4755", "2755", "6777"):
        refused = host.cli(
            "-C",
            str(project.folder),
            "exec",
            "web",
            "sh",
            "-c",
            f"cp /bin/id /site/id; chmod {mode} /site/id",
            status=1,
        )
        assert "Operation not permitted" in refused.stderr
    project.inside("web", "chmod", "0755", "/site/id")
    assert os.stat(source / "id").st_mode & 0o7777 == 0o755
    project.down()
