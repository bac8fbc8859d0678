"""Counts for ever; the quota decides how fast."""

import signal
import sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
number = 0
while True:
    number += 1
