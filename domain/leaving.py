"""What becomes of definitions when somebody leaves: the places that they had stay, and nobody is in them."""

from uuid import UUID

from domain.escalation import Policy, ToPerson
from domain.oncall import Schedule


def left_schedule(schedule: Schedule, person: UUID) -> Schedule:
    """Their turns and overrides are gaps, and everybody else's are when they were."""
    layers = tuple(
        layer.model_copy(update={"people": tuple(None if each == person else each for each in layer.people)})
        for layer in schedule.layers
    )
    overrides = tuple(
        override.model_copy(update={"person": None}) if override.person == person else override
        for override in schedule.overrides
    )
    return schedule.model_copy(update={"layers": layers, "overrides": overrides})


def left_policy(policy: Policy, person: UUID) -> Policy:
    """Its steps without them, each when it was: one that is left without targets alerts nobody, and says so."""
    steps = tuple(
        step.model_copy(
            update={"targets": tuple(t for t in step.targets if not (isinstance(t, ToPerson) and t.id == person))}
        )
        for step in policy.steps
    )
    return policy.model_copy(update={"steps": steps})
