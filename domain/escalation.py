"""Escalation policies: whom to alert, and when, for as long as nobody acknowledges."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

from pydantic import Field

from domain.alerting import ALERTED
from domain.events import Value
from domain.values import SOME, Name, Whole
from domain.words import RESPONSE_TARGETS_S, Severity

LONGEST_WAIT_S: Final = 7 * 24 * 60 * 60


class ToPerson(Value):
    """One person."""

    kind: Literal["person"] = "person"
    id: UUID


class ToTeam(Value):
    """Everybody of a team, by its name; null is the team that the incident is assigned to."""

    kind: Literal["team"] = "team"
    id: Name | None = None


class ToSchedule(Value):
    """Who is on call by a schedule, by its name; null is the schedule that the incident was routed to.

    Who that is, is asked when the step is due, not when the plan is made.
    """

    kind: Literal["schedule"] = "schedule"
    id: Name | None = None


class ToEverybody(Value):
    """All recipients of the organisation, whatever they want to hear of, also those alerted before."""

    kind: Literal["everybody"] = "everybody"


Target: TypeAlias = Annotated[ToPerson | ToTeam | ToSchedule | ToEverybody, Field(discriminator="kind")]


class Step(Value):
    """`wait_s` seconds after the step before (the first one: after the incident triggered), alert the targets."""

    wait_s: Whole = Field(ge=0, le=LONGEST_WAIT_S)
    targets: Annotated[tuple[Target, ...], SOME] = Field(max_length=100)


class Policy(Value):
    """Steps in order, then the same again `repeat` times.

    A repetition begins `repeat_after_s` seconds after the last step, and then waits for its first step as the
    first round did. severities: those it is for.
    """

    name: Name
    severities: Annotated[tuple[Severity, ...], SOME] = Field(default=("critical", "high"), max_length=4)
    steps: Annotated[tuple[Step, ...], SOME] = Field(max_length=50)
    repeat: Whole = Field(default=0, ge=0, le=20)
    repeat_after_s: Whole = Field(default=300, ge=1, le=LONGEST_WAIT_S)

    def applies_to(self, severity: Severity) -> bool:
        return severity in self.severities


class Planned(NamedTuple):
    """One step to come. number: from 1, going on through the repetitions; at: when it is due (UTC); round: 1 is
    the first time through the policy."""

    number: int
    at: datetime
    targets: tuple[Target, ...]
    round: int = 1


def plan(policy: Policy, started_at: datetime) -> list[Planned]:
    """Every step, repetitions and all, in order, of an incident that triggered then and nobody acknowledges."""
    found: list[Planned] = []
    at = started_at
    for turn in range(policy.repeat + 1):
        at += timedelta(seconds=policy.repeat_after_s if turn else 0)
        for step in policy.steps:
            at += timedelta(seconds=step.wait_s)
            found.append(Planned(len(found) + 1, at, step.targets, turn + 1))
    return found


def default_policy(severity: Severity, target_s: int = 0) -> Policy | None:
    """What an organisation does that has set no policy; target_s: its response target (0: the product's own).

    At once whoever is on call, at half the target the team, at the target everybody. If still nobody has it, the
    same again after half a target: three times for a critical incident, once for a high one. Medium and low wake
    nobody, so there is none for them; that their target passed is told on the timeline.
    """
    if severity not in ALERTED:
        return None
    target_s = target_s or RESPONSE_TARGETS_S[severity]
    half = target_s // 2
    return Policy(
        name=f"Default, {severity}",
        severities=(severity,),
        steps=(
            Step(wait_s=0, targets=(ToSchedule(),)),
            Step(wait_s=half, targets=(ToTeam(),)),
            Step(wait_s=target_s - half, targets=(ToEverybody(),)),
        ),
        repeat=3 if severity == "critical" else 1,
        repeat_after_s=max(half, 1),
    )


def default_policies(targets: Mapping[Severity, int] = RESPONSE_TARGETS_S) -> dict[Severity, Policy]:
    """The default policy of each severity that has one, from an organisation's response targets in seconds."""
    made = {severity: default_policy(severity, target_s) for severity, target_s in targets.items()}
    return {severity: policy for severity, policy in made.items() if policy is not None}
