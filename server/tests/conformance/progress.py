"""Copies what the Autobahn test suite says on stdin to a file, and shows on stderr how far it is: progress.py LOG.

On a terminal that is a bar, elsewhere a line every ten seconds.
"""

from __future__ import print_function

import re
import sys
import time

INTERVAL = 10
WIDTH = 24


def show(words):
    try:
        sys.stderr.write(words)
        sys.stderr.flush()
    except (IOError, OSError):
        pass  # Nobody reads it.


total, done, shown = 0, 0, time.time()
is_terminal = sys.stderr.isatty()
with open(sys.argv[1], "w") as log:
    for line in iter(sys.stdin.readline, ""):
        log.write(line)
        log.flush()
        planned = re.match(r"Ok, will run (\d+) test cases", line)
        total = int(planned.group(1)) if planned else total
        done += line.startswith("Running test case ID ")
        words = "%d of %d cases" % (done, total)
        if is_terminal and total:
            full = WIDTH * min(done, total) // total
            show("\r\x1b[K[%s%s] %s" % ("#" * full, " " * (WIDTH - full), words))
        elif time.time() - shown >= INTERVAL:
            shown = time.time()
            show(words + "\n")
if is_terminal:
    show("\r\x1b[K")
