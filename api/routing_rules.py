"""Routing rules: which team an alert goes to. Read and replaced as a whole, since their order is their meaning."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter

from api import setting_shapes as shapes
from api.bodies import nothing_else
from api.settings import STALE, TAKEN, Changing, Look, LookNow
from api.shapes import PROBLEMS, shows
from api.views import Answer
from commands.ids import new_id
from domain import organization_decisions as decisions
from domain.conditions import Facts
from domain.decisions import Request
from domain.escalating import policy_for, schedule_for
from domain.explaining import passed_over
from domain.organization import Organization
from domain.placing import place
from domain.router import Router
from domain.routing import Rule

router = APIRouter(prefix="/api/v1/routing-rules", tags=["routing"], responses=PROBLEMS)


@router.get("", responses=shows(shapes.Routing))
async def get_rules(look: Look) -> Answer:
    """All rules in order, and the team of what none claims; with `at` as they stood then."""
    organization = await look.organization()
    return look.answer(organization, _view(organization))


@router.put("", dependencies=[nothing_else(shapes.RoutingBody)], responses={**shows(shapes.Routing), **STALE})
async def put_rules(change: Changing, body: shapes.RoutingBody) -> Answer:
    """Replace all rules, at most 500. A rule without an id keeps that of the present one of its name."""
    rules = [(rule.id, _rule(rule)) for rule in body.rules]
    organization, headers = await change.run(
        lambda now, request: decisions.set_routing(now, request, rules, body.default_team, new_id)
    )
    return Answer(_view(organization), headers=headers)


@router.post(
    "",
    status_code=201,
    dependencies=[nothing_else(shapes.RuleBody)],
    responses={**shows(Rule, 201), **STALE, **TAKEN},
)
async def post_rule(change: Changing, body: shapes.RuleBody) -> Answer:
    """Put a new rule after all others: 201."""

    def with_it(now: Organization, request: Request) -> decisions.Events:
        others = [(rule.id, rule) for rule in now.rules if rule.name != body.name]
        rules = [*others, (body.id, _rule(body))]
        return decisions.set_routing(now, request, rules, now.default_team, new_id)

    organization, headers = await change.create(
        with_it, lambda now: any(rule.name == body.name for rule in now.rules)
    )
    return Answer(organization.rules[-1].model_dump(mode="json"), 201, headers)


@router.post("/test", dependencies=[nothing_else(shapes.RoutingQuestion)], responses=shows(shapes.RoutingAnswer))
async def try_rules(look: LookNow, body: shapes.RoutingQuestion) -> Answer:
    """Where an alert like this would go, whom it would wake, and why; nothing is recorded."""
    organization = await look.organization()
    facts = Facts(body.severity, body.category, body.source, body.labels)
    router = Router(organization.rules, organization.default_team)
    routed = router.route(facts)
    placed = place(organization, router, facts, body.at or datetime.now(UTC), team=None)
    policy = policy_for(organization, routed.rule, routed.team, body.severity)
    before = passed_over(organization.rules, facts)
    names = await look.names([placed.person])
    return look.answer(
        organization,
        {
            "team": routed.team,
            "because": routed.because,
            "rule": _chosen(len(before) + 1, routed.rule) if routed.rule else None,
            "schedule": schedule_for(organization, routed.rule, routed.team),
            "policy": policy.name if policy else None,
            "person": {"id": placed.person, "name": names.get(str(placed.person))} if placed.person else None,
            "person_because": placed.person_because,
            "maintenance": placed.maintenance,
            "passed_over": [{**_chosen(p.number, p.rule), "because": p.because} for p in before],
        },
    )


def _rule(body: shapes.RuleBody) -> Rule:
    return Rule(
        id=body.id or new_id(),  # which the decision replaces where the rule is there by its name
        name=body.name,
        conditions=body.conditions,
        team=body.team,
        schedule=body.schedule,
        policy=body.policy,
    )


def _chosen(number: int, rule: Rule) -> dict[str, Any]:
    return {"number": number, "id": rule.id, "name": rule.name}


def _view(organization: Organization) -> dict[str, Any]:
    rules = [rule.model_dump(mode="json") for rule in organization.rules]
    return {"rules": rules, "default_team": organization.default_team}
