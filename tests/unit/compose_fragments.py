"""Values of Compose keys, right and wrong ones, of which the comparison with Docker Compose makes files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

TOP = """networks:
  front: {labels: {a: b}}
  back:
volumes:
  data: {labels: [a=b]}
  other:
"""

FRAGMENTS: Mapping[str, Sequence[str]] = {
    "annotations": ("{a: b}", "[a=b, c]"),
    "cap_add": ("[KILL]", "[CAP_KILL, net_admin]", "KILL"),
    "cap_drop": ("[ALL]", "[CAP_KILL]"),
    "command": ("echo hello", "[a, b]", "''", "[]", "sh -c 'a; b'", "['$SET']", "", "{a: b}", "['$$x', '${NO:-d}']"),
    "container_name": ("name-$SET", "one.two"),
    "cpus": ("0.5", "'1.5'", "many"),
    "depends_on": ("[b]", "[b, c]", "{c: {condition: service_started, restart: true}}", "[zz]", "b",
                   "{b: {condition: service_completed_successfully, required: false}}"),
    "deploy": ("{replicas: 2}", "{resources: {limits: {cpus: '0.5', memory: 64M}}}", "{mode: global}",
               "{restart_policy: {condition: on-failure, max_attempts: 3}}", "{foo: 1}",
               "{resources: {limits: {pids: 7}}, labels: [a=b]}", "{replicas: $NUMBER}"),
    "dns": ("1.1.1.1", "[1.1.1.1, 8.8.8.8]"),
    "dns_search": ("a.b", "[a.b, c.d]"),
    "domainname": ("example.org",),
    "entrypoint": ("[x]", "x y", "''"),
    "env_file": ("one.env", "[one.env]", "[{path: one.env}]", "[{path: no.env, required: false}]", "no.env"),
    "environment": ("{A: 1, B: null}", "[A=2, SET]", "{C: '${SET}', A: ''}", "[\"D=${NO:+x}\", E]", "{T: true, N: 5}",
                    "['A=${', B]"),
    "expose": ("[80]", "['81-83', '80/udp']"),
    "extends": ("b", "{service: c}", "{service: zz}"),
    "extra_hosts": ("['h=1.2.3.4']", "{h: 1.2.3.5, i: '::1'}", "['h:1.2.3.4', 'i=[::1]']", "[h]"),
    "group_add": ("[audio, '5']",),
    "healthcheck": ("{test: 'true', interval: 1m30s}", "{test: [CMD, a], retries: 5}", "{disable: true}",
                    "{test: [a]}", "{test: [CMD-SHELL, 'a b'], timeout: 500ms, start_period: 1h}"),
    "hostname": ("host",),
    "init": ("true", "false"),
    "labels": ("{a: b, c: 1}", "[a=c, d]"),
    "logging": ("{driver: local}", "{driver: other, options: {a: b}}", "{options: {c: d}}"),
    "mem_limit": ("64M", "67108864", "1gb", "'100 mb'", "64X"),
    "mem_reservation": ("32M",),
    "networks": ("[front]", "{front: {aliases: [q]}, back: }", "[front, back]", "[default, front]", "[zz]"),
    "oom_score_adj": ("100", "'200'", "$NUMBER"),
    "pids_limit": ("10", "-1"),
    "platform": ("linux/amd64",),
    "ports": ("['80']", "[80, '8080:81']", "['127.0.0.1:8082:82/udp']", "['9000-9002:9000-9002']", "['a']",
              "[{target: 83, published: '8083', protocol: udp}]", "['8080:81', '0.0.0.0:8081:80']", "[{target: 84}]"),
    "profiles": ("[]",),
    "pull_policy": ("always", "every_3d", "if_not_present", "foo"),
    "read_only": ("true",),
    "restart": ("always", "'no'", "on-failure:3", "unless-stopped", "[a]"),
    "scale": ("1", "2"),
    "security_opt": ("['no-new-privileges:true']", "[seccomp=unconfined]"),
    "shm_size": ("64m", "1048576"),
    "stdin_open": ("true",),
    "stop_grace_period": ("5s", "1m", "1d"),
    "stop_signal": ("SIGINT", "SIGUSR1"),
    "sysctls": ("{net.core.somaxconn: 5}", "[net.core.somaxconn=6]"),
    "tmpfs": ("/t", "['/t:size=1m,mode=700', /u]"),
    "tty": ("true", "1"),
    "ulimits": ("{nofile: 5}", "{nofile: {soft: 1, hard: 2}, nproc: 3}", "{nofile: {soft: 1}}"),
    "user": ("root", "'1000:1000'"),
    "volumes": ("['data:/d']", "['./x:/d:ro', /anon]", "[{type: tmpfs, target: /t, tmpfs: {size: 1m}}]", "['zz:/d']",
                "['data:/d:nocopy', '~/h:/h']", "[{type: bind, source: ./x, target: /y}]", "['../up:/d']"),
    "volumes_from": ("[b]", "['c:ro']"),
    "working_dir": ("/w",),
    "x-mine": ("{a: b}", "5"),
}  # fmt: skip
