"""Forks until the limit says no, says how far it got, and lets all of them end."""

import os
import time

children = []
try:
    for _ in range(1000):
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
        children.append(child)
    print("there is no limit", flush=True)
except OSError as error:
    print(f"{len(children)} children, then: {error.strerror}", flush=True)
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
