"""What an organisation's events make of it: any events in any order, and every prefix of them."""

from copy import deepcopy
from typing import get_args

import pytest
from given import ORG, meta
from hypothesis import given
from hypothesis import strategies as st
from orggiven import END, EVENTS, NIGHT, START, TOKEN, WINDOW, A, B, layer, policy, rule, schedule

from domain import organization_events as o
from domain.escalation import ToPerson, ToTeam
from domain.oncall import Override
from domain.organization import Organization, Team, fold_organization
from domain.quiet import QuietHours
from domain.words import RESPONSE_TARGETS_S

HISTORIES = st.lists(st.sampled_from(EVENTS), max_size=30)


@given(HISTORIES)
def test_folding_takes_every_event_in_any_order_and_counts_it(events: list[o.OrganizationEvent]) -> None:
    assert fold_organization(ORG, events).version == len(events)


@given(HISTORIES, st.data())
def test_the_state_after_a_prefix_goes_on_to_the_state_after_all(
    events: list[o.OrganizationEvent], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(events)))
    before = fold_organization(ORG, events[:cut])
    kept = deepcopy(before)
    onward = fold_organization(ORG, events[:cut])
    for event in events[cut:]:
        onward.apply(event)
    assert onward == fold_organization(ORG, events)
    assert before == kept


@given(HISTORIES)
def test_nobody_without_a_role_keeps_a_token_or_quiet_hours(events: list[o.OrganizationEvent]) -> None:
    gone: set[object] = set()
    for event in events:
        if isinstance(event, o.AccessRemoved | o.PersonErased):
            gone.add(event.person_id)
            organization = fold_organization(ORG, events[: events.index(event) + 1])
            assert event.person_id not in organization.roles
            assert event.person_id not in organization.quiet
            assert event.person_id not in organization.tokens.values()


def test_every_event_does_what_it_says() -> None:
    def folded(*events: o.OrganizationEvent) -> Organization:
        return fold_organization(ORG, events)

    quiet = QuietHours(time_zone="UTC", windows=(NIGHT,))
    targets = o.Targets(critical=1, high=2, medium=3, low=4)
    team = o.TeamDefined(**meta(), team="t", members=(A,), schedule="s", policy="p")
    issued = o.TokenIssued(**meta(), token_id=TOKEN, person_id=B, scopes=())
    granted = o.RoleGranted(**meta(), person_id=B, role="responder")
    window = next(event for event in EVENTS if isinstance(event, o.MaintenanceScheduled))
    assert folded(granted).roles == {B: "responder"}
    assert folded(granted, o.AccessRemoved(**meta(), person_id=B, previous="responder")).roles == {}
    assert folded(granted, o.PersonErased(**meta(), person_id=B)).roles == {}
    assert folded(granted, o.AccessRefused(**meta(), person_id=B, what="x")).roles == {B: "responder"}
    assert folded(issued).tokens == {TOKEN: B}
    assert folded(issued, o.TokenRevoked(**meta(), token_id=TOKEN, person_id=B)).tokens == {}
    assert folded(team).teams == {"t": Team("t", (A,), "s", "p")}
    assert folded(team, o.TeamRemoved(**meta(), team="t")).teams == {}
    routed = folded(o.RoutingChanged(**meta(), rules=(rule(),), default_team="t"))
    assert (routed.rules, routed.default_team) == ((rule(),), "t")
    assert folded(o.ScheduleDefined(**meta(), schedule=schedule("s"))).schedules == {"s": schedule("s")}
    defined = o.ScheduleDefined(**meta(), schedule=schedule("s"))
    assert folded(defined, o.ScheduleRemoved(**meta(), name="s")).schedules == {}
    assert folded(o.PolicyDefined(**meta(), policy=policy("p"))).policies == {"p": policy("p")}
    made = o.PolicyDefined(**meta(), policy=policy("p"))
    assert folded(made, o.PolicyRemoved(**meta(), name="p")).policies == {}
    assert folded(window).windows == {WINDOW: window.window}
    assert folded(window, o.MaintenanceCancelled(**meta(), window_id=WINDOW)).windows == {}
    hours = o.QuietHoursSet(**meta(), person_id=A, quiet=quiet)
    assert folded(hours).quiet == {A: quiet}
    assert folded(hours, o.QuietHoursSet(**meta(), person_id=A)).quiet == {}
    aims = o.ResponseTargetsSet(**meta(), targets=targets)
    assert folded(aims).targets == {"critical": 1, "high": 2, "medium": 3, "low": 4}
    assert folded(aims, o.ResponseTargetsSet(**meta())).targets == RESPONSE_TARGETS_S
    assert {type(event) for event in EVENTS} == set(get_args(o.OrganizationEvent))


@pytest.mark.parametrize(
    "left",
    [
        o.AccessRemoved(**meta(9), person_id=B, previous="responder"),
        o.PersonErased(**meta(9), person_id=B),
        o.RoleGranted(**meta(9), person_id=B, role="member", previous="responder"),
    ],
)
def test_nothing_counts_on_who_has_left(left: o.OrganizationEvent) -> None:
    overrides = (Override(start=START, end=END, person=B), Override(start=START, end=END, person=A))
    before = fold_organization(
        ORG,
        [
            o.TeamDefined(**meta(), team="t", members=(A, B), schedule="s"),
            o.ScheduleDefined(
                **meta(),
                schedule=schedule("s", layer(people=(B, A, B)), layer("alone", (B,)), overrides=overrides),
            ),
            o.PolicyDefined(**meta(), policy=policy("p", ToPerson(id=B), ToTeam(id="t"))),
            o.PolicyDefined(**meta(), policy=policy("alone", ToPerson(id=B))),
        ],
    )
    kept, after = deepcopy(before), deepcopy(before)
    after.apply(left)

    assert after.teams == {"t": Team("t", (A,), "s")}
    assert [each.people for each in after.schedules["s"].layers] == [(None, A, None), (None,)]
    assert [each.person for each in after.schedules["s"].overrides] == [None, A]
    assert after.policies == {
        "p": policy("p", ToTeam(id="t")),
        "alone": policy("alone", ToPerson(id=B)).model_copy(
            update={"steps": (before.policies["alone"].steps[0].model_copy(update={"targets": ()}),)}
        ),
    }
    codec_sees = o.ScheduleDefined(**meta(), schedule=after.schedules["s"])
    assert o.ScheduleDefined.model_validate_json(codec_sees.model_dump_json(exclude_none=True)) == codec_sees
    assert before == kept
