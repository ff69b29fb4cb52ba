"""What routing costs: an alert over 200 rules against a plain first match, and commands with rules against none.

router: `domain.router.Router.route`. plain: `domain.routing.route`, the first match. The same rules and the same
alerts, in this process.

with_rules, without_rules: complete commands (`Executor.execute`: load, decide, append, commit) of 8 writers, whole
lives of incidents as in `append.py`, in an organisation with 200 rules and in one without any. Their facts are the
alerts': most find their team by a rule, whose event is then written too. Ratios, of times per alert and per
command, are medians of the rounds' ratios.
"""

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(sys.path.pop(0) + os.sep)))

from benchmarks import append, measure
from commands import incident as c
from commands.executor import Executor
from commands.ids import new_id
from domain.conditions import Facts
from domain.decisions import Request
from domain.events import Actor
from domain.organization_events import RoutingChanged
from domain.router import Router
from domain.routing import Routed, Rule, route
from domain.words import CATEGORIES, SEVERITIES
from fandesk import compose

RULES = 200
WRITERS = 8
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


def lives(executor: Executor, organization_id: UUID, asked: list[Facts]) -> append.Work:
    """Incidents with the facts of these alerts, each from its trigger to its resolution."""
    actor = Actor(kind="person", id=new_id())

    def request() -> Request:
        return Request(organization_id, actor, datetime.now(UTC), new_id(), new_id())

    while True:
        for facts in asked:
            id = new_id()
            executor.execute(
                c.Trigger(
                    request=request(),
                    incident_id=id,
                    title=append.TITLE,
                    severity=facts.severity,
                    category=facts.category,
                    description=append.DESCRIPTION,
                    labels=dict(facts.labels),
                    source=facts.source,
                )
            )
            yield
            executor.execute(c.Acknowledge(request=request(), incident_id=id, note="I take it."))
            yield
            executor.execute(c.PostUpdate(request=request(), incident_id=id, body=append.NOTE))
            yield
            executor.execute(c.Resolve(request=request(), incident_id=id, note=append.NOTE))
            yield


def commands(some: list[Rule], asked: list[Facts], count: int, seconds: float) -> measure.Samples:
    """Microseconds per command, with and without rules."""
    ruled, plain = new_id(), new_id()
    with measure.database() as database:
        store = compose.open_store(database.dsn)
        executor = Executor(store)
        request = Request(ruled, Actor(kind="system"), datetime.now(UTC), new_id(), new_id())
        changed = RoutingChanged(**request.meta(), rules=tuple(some), default_team=None)
        executor.organizations.change(ruled, lambda _: (changed,))
        compose.tune()

        def timed(organization_id: UUID) -> float:
            return 1e6 / append.timed(WRITERS, seconds, lambda: lives(executor, organization_id, asked))

        kinds = {"with_rules": lambda: timed(ruled), "without_rules": lambda: timed(plain)}
        measure.rounds(1, kinds, "µs per command (to warm up)")
        samples = measure.rounds(count, kinds, "µs per command")
        executor.close()
        store.close()
    return samples


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
    samples |= commands(some, asked[:1000], 3 if options.quick else 9, 0.5 if options.quick else 2.0)
    ratios = {
        "router/plain": measure.ratio(samples["router"], samples["plain"]),
        "with_rules/without_rules": measure.ratio(samples["with_rules"], samples["without_rules"]),
        "router/command": measure.ratio(samples["router"], samples["without_rules"][: len(samples["router"])]),
    }
    aims = {"router/plain": "<= 0.2", "with_rules/without_rules": "<= 1.1", "router/command": "<= 0.1"}
    measure.finish("routing", ratios, samples, aims)


if __name__ == "__main__":
    main()
