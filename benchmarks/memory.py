"""Memory of `fandesk up`, PostgreSQL included: at rest, and its growth under 200 commands per second.

Proportional set size (Pss) of the supervisor and all its descendants. PostgreSQL's shared memory, whose pages
count from their first use, is reported apart. Growth is the slope of a straight line through the samples after
the first minute (shorter runs: after a third of them, and then without a ratio).
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(sys.path.pop(0) + os.sep)))

from benchmarks import http, measure

RATE = 200
EVERY_S = 2.0


def pss(root: int) -> dict[str, float]:
    """Megabytes by part: each of our processes, PostgreSQL's own and its shared memory."""
    found: dict[str, float] = {"postgres": 0.0, "postgres_shared": 0.0, "python": 0.0, "total": 0.0}
    for pid, command in measure.processes(root).items():
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:
            continue  # it has just ended
        sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
        found["total"] += sizes["Pss"]
        if "postgres" in command.split(" ")[0]:
            found["postgres"] += sizes["Pss"] - sizes["Pss_Shmem"]
            found["postgres_shared"] += sizes["Pss_Shmem"]
        else:
            found["python"] += sizes["Pss"]
            found[f"python_{pid}"] = sizes["Pss"]
    return found


def slope(times: list[float], values: list[float]) -> float:
    """Per unit of time, by least squares."""
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((t - middle) ** 2 for t in times)
    return sum((t - middle) * (v - mean) for t, v in zip(times, values, strict=True)) / spread


def main() -> None:
    parser = measure.arguments(__doc__)
    parser.add_argument("--minutes", type=float, help="how long to load it: 10, with --quick two thirds of one")
    options = parser.parse_args()
    minutes = options.minutes or (0.67 if options.quick else 10.0)
    first_s = min(60.0, minutes * 20)
    samples: dict[str, Any] = {"minutes": minutes}
    series: dict[str, list[float]] = {"at_s": []}
    with measure.product() as product:
        assert product.process is not None
        root = product.process.pid
        roles = json.loads((product.data / "pids.json").read_text())
        names = {f"python_{roles[role]}": role for role in ("api", "project")} | {f"python_{root}": "supervisor"}
        time.sleep(2 if options.quick else 15)
        samples["at_rest_mb"] = rest = named(pss(root), names)
        measure.note("at rest: " + ", ".join(f"{name} {size:.1f}" for name, size in rest.items()) + " MB")
        began = time.monotonic()
        load = http.run_client(product.port, "/api/v1", measure.TOKEN, minutes * 60, RATE)
        try:
            while load.poll() is None:
                time.sleep(EVERY_S)
                at = time.monotonic() - began
                if at > minutes * 60:
                    continue
                series["at_s"].append(at)
                for name, size in named(pss(root), names).items():
                    series.setdefault(name, []).append(size)
                if len(series["at_s"]) % 15 == 0:
                    measure.note(f"{at:5.0f} s: " + ", ".join(f"{n} {s[-1]:.1f}" for n, s in series.items()))
            assert load.stdout is not None
            samples["load"] = json.loads(load.stdout.read())
        finally:
            if load.poll() is None:
                load.terminate()
                load.wait()
        time.sleep(2)
        samples["after_mb"] = named(pss(root), names)
    later = [n for n, at in enumerate(series["at_s"]) if at >= first_s]
    at_min = [series["at_s"][n] / 60 for n in later]
    growth = {name: slope(at_min, [values[n] for n in later]) for name, values in series.items() if name != "at_s"}
    growth["without_shared"] = growth["python"] + growth["postgres"]
    samples["growth_mb_per_minute"] = growth
    samples["series_mb"] = {name: values[:: max(1, len(values) // 40)] for name, values in series.items()}
    measure.note("growth, MB per minute: " + ", ".join(f"{n} {g:+.3f}" for n, g in growth.items()))
    ratios = {"at_rest/400MB": rest["total"] / 400}
    if minutes >= 5:  # a shorter run sees it fill what it keeps at hand, which says nothing about growth
        ratios["growth_of_10_minutes/at_rest"] = growth["without_shared"] * 10 / rest["total"]
    aims = {"at_rest/400MB": "<= 1", "growth_of_10_minutes/at_rest": "<= 0.05"}
    measure.finish("memory", ratios, samples, aims)


def named(sizes: dict[str, float], names: dict[str, str]) -> dict[str, float]:
    """The same with roles in place of process ids; processes that are none of them count in the sums only."""
    kept = {key: size for key, size in sizes.items() if not key.startswith("python_") or key in names}
    return {names.get(key, key): size for key, size in kept.items()}


if __name__ == "__main__":
    main()
