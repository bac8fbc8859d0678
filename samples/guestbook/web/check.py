"""The health check: the page is served, which needs the store too."""

import os
import urllib.request

with urllib.request.urlopen(f"http://127.0.0.1:{os.environ['PORT']}/", timeout=2) as answer:
    assert answer.status == 200
