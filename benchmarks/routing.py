"""How long it takes to route an alert over 200 rules, against evaluating the rules one after the other.

router: `domain.router.Router.route`. plain: `domain.routing.route`, the first match. The same rules and the same
alerts, in this process. The ratio, of times, is the median of the rounds' ratios.
"""

import os
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any
from uuid import UUID

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(sys.path.pop(0) + os.sep)))

from benchmarks import measure
from domain.conditions import Facts
from domain.router import Router
from domain.routing import Routed, Rule, route
from domain.words import CATEGORIES, SEVERITIES

RULES = 200
SERVICES = [f"service-{number}" for number in range(150)]


def rules(dice: Random) -> list[Rule]:
    """Most ask for a service by its name, some by its start or a glob, a third for severity and category too."""

    def conditions() -> dict[str, Any]:
        way: dict[str, Any] = dice.choice(
            (
                {"equals": dice.choice(SERVICES)},
                {"equals": dice.choice(SERVICES)},
                {"one_of": dice.sample(SERVICES, 3)},
                {"starts_with": f"service-{dice.randrange(10)}{dice.randrange(10)}"},
                {"matches": f"*-{dice.randrange(10)}?"},
            )
        )
        labels = [{"label": "service", **way}, {"label": "env", "equals": dice.choice(("prod", "test"))}]
        few = dice.random() < 0.3
        return {
            "severities": dice.sample(SEVERITIES, 2) if few else [],
            "categories": dice.sample(CATEGORIES, 1) if few else [],
            "labels": labels,
        }

    return [
        Rule.model_validate(
            {"id": UUID(int=n), "name": f"R{n}", "team": f"T{n % 20}", "conditions": conditions()},
        )
        for n in range(1, RULES + 1)
    ]


def alerts(dice: Random, count: int) -> list[Facts]:
    """As monitoring sends them: a handful of labels, most of which no rule asks for."""
    return [
        Facts(
            dice.choice(SEVERITIES),
            dice.choice((None, *CATEGORIES)),
            "alertmanager",
            {
                "service": dice.choice(SERVICES),
                "env": dice.choice(("prod", "test")),
                "pod": f"pod-{dice.random()}",
                "alertname": "HighErrorRate",
                "region": "eu-west-1",
            },
        )
        for _ in range(count)
    ]


def main() -> None:
    options = measure.arguments(__doc__).parse_args()
    dice = Random(4)
    some, asked = rules(dice), alerts(dice, 1_000 if options.quick else 10_000)
    router = Router(some, "ops")
    assert all(router.route(facts) == route(some, facts, "ops") for facts in asked)

    def timed(work: Callable[[Facts], Routed]) -> float:
        began = time.perf_counter()
        for facts in asked:
            work(facts)
        return 1e6 * (time.perf_counter() - began) / len(asked)

    kinds = {
        "router": lambda: timed(router.route),
        "plain": lambda: timed(lambda facts: route(some, facts, "ops")),
    }
    measure.rounds(1, kinds, "µs (to warm up)")
    samples = measure.rounds(3 if options.quick else 7, kinds, "µs")
    ratios = {"router/plain": measure.ratio(samples["router"], samples["plain"])}
    measure.finish("routing", ratios, samples, {"router/plain": "<= 0.2"})


if __name__ == "__main__":
    main()
