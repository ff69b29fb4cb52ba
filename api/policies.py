"""Escalation policies: whom to alert, and when, for as long as nobody acknowledges."""

from fastapi import APIRouter
from starlette.responses import Response

from api import setting_shapes as shapes
from api.bodies import named, nothing_else, required
from api.settings import REMOVED, STALE, TAKEN, USED, Change, Changing, Decide, Look, Named
from api.shapes import PROBLEMS, shows
from api.views import Answer
from domain import organization_decisions as decisions
from domain.errors import NotDefined
from domain.escalation import Policy, default_policies

router = APIRouter(prefix="/api/v1/escalation-policies", tags=["escalation"], responses=PROBLEMS)


@router.get("", responses=shows(shapes.Policies))
async def list_policies(look: Look) -> Answer:
    """All policies, by name, and what is done by default for the severities that wake people; with `at` as they
    stood then."""
    organization = await look.organization()
    found = [organization.policies[name] for name in sorted(organization.policies)]
    defaults = default_policies(organization.targets)
    content = {
        "items": [policy.model_dump(mode="json") for policy in found],
        "defaults": {severity: policy.model_dump(mode="json") for severity, policy in defaults.items()},
    }
    return look.answer(organization, content)


@router.get("/{name}", responses=shows(Policy))
async def get_policy(look: Look, name: Named) -> Answer:
    """One policy; with `at` as it stood then."""
    organization = await look.organization()
    if name not in organization.policies:
        raise NotDefined(f"There is no policy “{name}”.")
    return look.answer(organization, organization.policies[name].model_dump(mode="json"))


@router.put("/{name}", dependencies=[nothing_else(shapes.PolicyBody)], responses={**shows(Policy), **STALE})
async def put_policy(change: Changing, name: Named, body: shapes.PolicyBody) -> Answer:
    """Make a policy, or make it so. Whom it names has to exist."""
    policy, define = await _defining(change, name, body)
    organization, headers = await change.run(define)
    return Answer(organization.policies[policy].model_dump(mode="json"), headers=headers)


@router.post(
    "",
    status_code=201,
    dependencies=[nothing_else(shapes.PolicyBody)],
    responses={**shows(Policy, 201), **STALE, **TAKEN},
)
async def post_policy(change: Changing, body: shapes.PolicyBody) -> Answer:
    """Make a new policy: 201. Whom it names has to exist."""
    policy, define = await _defining(change, required("name", body.name), body)
    organization, headers = await change.create(define, lambda now: policy in now.policies)
    return Answer(organization.policies[policy].model_dump(mode="json"), 201, headers)


@router.delete("/{name}", status_code=204, response_class=Response, responses={**REMOVED, **STALE, **USED})
async def delete_policy(change: Changing, name: Named) -> Response:
    """Remove a policy that no team or rule names."""
    return await change.remove(lambda now, request: decisions.remove_policy(now, request, name))


async def _defining(change: Change, name: str, body: shapes.PolicyBody) -> tuple[str, Decide]:
    policy, people = named(Policy, name, body), await change.people()
    return policy.name, lambda now, request: decisions.define_policy(now, request, policy, people)
