"""Words that people write for our keys, and what they meant; words that belong to the kernel. Data only."""

from __future__ import annotations

# Words of Docker and of others, and what stackup calls the thing.
SERVICE_WORDS = {
    "cmd": "the key is 'command'", "env": "the key is 'environment'", "workdir": "the key is 'working_dir'",
    "cwd": "the key is 'working_dir'", "publish": "the key is 'ports'", "mounts": "the key is 'volumes'",
    "network": "the key is 'networks'", "volume": "the key is 'volumes'", "port": "the key is 'ports'",
    "memory": "the key is 'resources.memory'", "limits": "the key is 'resources'", "quotas": "the key is 'resources'",
    "pids": "the key is 'resources.pids'", "depends": "the key is 'depends_on'", "name": "the key is 'container_name'",
    "health": "the key is 'healthcheck'", "groups": "the key is 'group_add'",
}  # fmt: skip
IMAGE_WORDS = {
    "base": "the key is 'from'", "image": "the key is 'from'", "parent": "the key is 'from'",
    "steps": "the key is 'layers'", "build": "the key is 'layers'", "instructions": "the key is 'layers'",
    "cmd": "the key is 'command', under 'config'", "env": "the key is 'environment', under 'config'",
    "workdir": "the key is 'working_dir', under 'config'",
}  # fmt: skip
CONFIG_WORDS = {
    "cmd": "the key is 'command'", "env": "the key is 'environment'", "workdir": "the key is 'working_dir'",
    "cwd": "the key is 'working_dir'", "exposed_ports": "the key is 'expose'", "ports": "the key is 'expose'",
    "stopsignal": "the key is 'stop_signal'", "label": "the key is 'labels'",
}  # fmt: skip
LAYER_KINDS = ("copy", "run", "file", "template", "host")
LAYER_WORDS = {
    "add": "the kind is 'copy'", "from": "'from' stands beside 'layers'", "shell": "the kind is 'run'",
    "exec": "the kind is 'run'", "sh": "the kind is 'run'", "script": "the kind is 'run'",
    "programs": "the kind is 'host', as in 'host: {programs: [sh]}'", "write": "the kind is 'file'",
    "cmd": "put 'command' under 'config'", "command": "put 'command' under 'config', or write 'run'",
    "entrypoint": "put 'entrypoint' under 'config'", "env": "put 'environment' under 'config'",
    "environment": "put 'environment' under 'config'", "workdir": "put 'working_dir' under 'config'",
    "working_dir": "put 'working_dir' under 'config'", "user": "put 'user' under 'config'",
    "label": "put 'labels' under 'config'", "labels": "put 'labels' under 'config'",
    "expose": "put 'expose' under 'config'", "volume": "put 'volumes' under 'config'",
    "healthcheck": "put 'healthcheck' under 'config'",
}  # fmt: skip
FILE_WORDS = {
    "to": "the key is 'target'", "dest": "the key is 'target'", "destination": "the key is 'target'",
    "dst": "the key is 'target'", "path": "the key is 'target'", "src": "the key is 'source'",
    "from": "the key is 'source'; 'from' always names an image", "text": "the key is 'content'",
    "contents": "the key is 'content'", "chown": "the key is 'owner'", "chmod": "the key is 'mode'",
    "user": "the key is 'owner'", "variables": "the key is 'vars'", "context": "the key is 'vars'",
}  # fmt: skip
RUN_WORDS = {
    "cmd": "the key is 'command'", "net": "the key is 'network'", "args": "the key is 'command'",
    "env": "write it into the command, as in 'A=1 make'",
}  # fmt: skip

CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
ULIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
)  # fmt: skip
# What lies in a namespace of the container (proc(5), sysctl(2)); anything else would change the whole machine.
SYSCTLS = ("net.", "fs.mqueue.", "kernel.msg", "kernel.shm", "kernel.sem", "kernel.domainname")
