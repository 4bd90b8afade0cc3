"""Tells what the Autobahn test suite found: summary.py INDEX. Fails if a case failed, or was not clean, or none was run."""

from __future__ import print_function

import collections
import json
import sys

SOUND = ("OK", "NON-STRICT", "INFORMATIONAL")

with open(sys.argv[1]) as index:
    cases = json.load(index).get("coscribe", {})

sections = collections.defaultdict(collections.Counter)
failures = []
for case, result in cases.items():
    sections[int(case.split(".")[0])][result["behavior"]] += 1
    if result["behavior"] not in SOUND or result["behaviorClose"] not in SOUND:
        failures.append("%s: %s, close %s" % (case, result["behavior"], result["behaviorClose"]))

for section in sorted(sections):
    results = ", ".join("%d %s" % (count, behavior) for behavior, count in sorted(sections[section].items()))
    print("section %2d: %s" % (section, results))
for failure in sorted(failures):
    print(failure)
print("%d cases, %d failed" % (len(cases), len(failures)))
sys.exit(1 if failures or not cases else 0)
