"""Waits until a server answers 200, at most two minutes: wait_for.py URL PROCESS-ID."""

import os
import sys
import time
import urllib.error
import urllib.request


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def main(url, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if not is_alive(process):
            sys.exit(f"the server ended before {url} answered")
        try:
            if urllib.request.urlopen(url, timeout=5).status == 200:
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit(f"{url} did not answer within two minutes")


main(sys.argv[1], int(sys.argv[2]))
