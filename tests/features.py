#!/usr/bin/env python3
"""Checks that each published crate builds without warnings with all combinations of its features.

A feature that a crate only passes on to its dependencies has no effect on the code of that crate. Such features are on
together, off together, and each on alone, because all their combinations are checked in the crate that uses them. The
same applies to features whose code does not depend on other features.
"""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# No code depends on one of these and on another feature.
INDEPENDENT = {"encrypted-keys", "systemd", "tracing"}
CRATES = ["ws-core", "ws-transport", "ws-sessions", "ws-std", "ws-smol"]


def packages() -> dict[str, dict]:
    words = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout)
    return {package["name"]: package for package in metadata["packages"]}


def is_own(feature: str, package: dict) -> bool:
    """Returns True if the code of the crate or its set of dependencies depends on this feature and on others."""
    if feature in INDEPENDENT:
        return False
    if any(entry.startswith("dep:") for entry in package["features"][feature]):
        return True
    source = Path(package["manifest_path"]).parent / "src"
    pattern = re.compile(rf'feature = "{re.escape(feature)}"')
    return any(pattern.search(file.read_text()) for file in source.rglob("*.rs"))


def combinations(package: dict) -> list[tuple[str, ...]]:
    features = sorted(set(package["features"]) - {"default"})
    own = [feature for feature in features if is_own(feature, package)]
    passed_on = [feature for feature in features if feature not in own]
    powerset = [chosen for size in range(len(own) + 1) for chosen in itertools.combinations(own, size)]
    together = [(), *((feature,) for feature in passed_on)]
    if len(passed_on) > 1:
        together.append(tuple(passed_on))
    # Those that are passed on meet no features, and all features, of the crate itself.
    found = [(*chosen, *passed_on) for chosen in powerset]
    found += [(*chosen, *others) for chosen in ((), tuple(own)) for others in together]
    return sorted({implied(chosen, package) for chosen in found})


def implied(chosen: tuple[str, ...], package: dict) -> tuple[str, ...]:
    """Returns the features with those that they enable, so that no combination is checked twice."""
    enabled, waiting = set(), list(chosen)
    while waiting:
        feature = waiting.pop()
        if feature in package["features"] and feature not in enabled:
            enabled.add(feature)
            waiting += package["features"][feature]
    return tuple(sorted(enabled))


def main() -> int:
    count = 0
    for name in CRATES:
        for chosen in combinations(packages()[name]):
            words = ["cargo", "clippy", "--quiet", "--locked", "--no-deps", "--package", name, "--no-default-features"]
            words += ["--features", ",".join(chosen), "--", "-D", "warnings"]
            if subprocess.run(words, cwd=ROOT).returncode:
                print(f"{name} does not build with the features {', '.join(chosen) or 'none'}", file=sys.stderr)
                return 1
            count += 1
    print(f"{count} combinations of features build")
    return 0


if __name__ == "__main__":
    sys.exit(main())
