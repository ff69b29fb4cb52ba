"""`fandesk org`, `person`, `team` and `apply`: an organisation set up from the command line."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from domain.organization import fold_organization
from fandesk.apply import Applying
from fandesk.apply_file import Document
from fandesk.organizing import CannotBe, Person, request_of

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "example-organization.yaml"
ORG = UUID(int=1)
PEOPLE = [Person(UUID(int=2), "Bob", "bob@example.org", "responder")]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cli(product: Any) -> Iterator[Cli]:
    """The command line, on an organisation of this test's own with the example's people. Afterwards their e-mail
    addresses, by which one signs in, are free again."""
    name = f"Shop {uuid4().hex[:8]}"
    product.cli("org", "create", name, "--admin", "Ada Admin", "--email", "ada@example.org")

    def run(*arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return product.cli(*arguments, "--organization", name, check=check)

    run("person", "add", "Bob", "--email", "bob@example.org")
    run("person", "add", "Cleo Night")
    yield run
    with psycopg.connect(product.cli("dsn").stdout.strip()) as connection:
        connection.execute(
            "update access.people set email = null from access.organizations o where o.name = %s"
            " and o.id = organization_id",
            (name,),
        )


def shown(cli: Cli, *arguments: str) -> Any:
    return json.loads(cli(*arguments, "--json").stdout)


def test_the_example_is_shown_applied_and_applied_again(cli: Cli, tmp_path: Path) -> None:
    dry = cli("apply", str(EXAMPLE), "--dry-run").stdout
    assert "+++ teams/payments (file)" in dry
    assert "+- Ada Admin" in dry
    assert dry.rstrip().endswith("Nothing was changed (--dry-run).")
    assert shown(cli, "org", "show")["teams"] == []

    assert cli("apply", str(EXAMPLE)).stdout.rstrip().endswith("applied.")
    there = shown(cli, "org", "show")
    assert (there["teams"], there["default_team"]) == (["operations", "payments"], "operations")
    assert (there["schedules"], there["policies"]) == (["payments-primary"], ["payments-urgent"])
    assert there["rules"] == ["Checkout and cards", "Everything of the payments cluster"]
    assert there["maintenance_windows"] == ["Database upgrade"]
    assert there["response_targets"]["critical"] == 180

    assert cli("apply", str(EXAMPLE)).stdout.strip() == "There is nothing to change."
    assert shown(cli, "apply", str(EXAMPLE)) == {"changed": False, "differences": [], "passed_over": []}
    assert shown(cli, "org", "show")["version"] == there["version"]

    changed = tmp_path / "changed.yaml"
    changed.write_text(EXAMPLE.read_text("utf-8").replace("critical: 180", "critical: 120"), "utf-8")
    told = shown(cli, "apply", str(changed))
    assert [(d["section"], d["change"]) for d in told["differences"]] == [("response_targets", "changed")]
    assert {"-critical: 180", "+critical: 120"} <= set(told["differences"][0]["lines"])


def test_what_the_file_does_not_mention_is_left_alone_unless_pruned(cli: Cli, tmp_path: Path) -> None:
    cli("apply", str(EXAMPLE))
    small = tmp_path / "small.yaml"
    small.write_text("teams:\n  payments: {members: [Bob]}\nrouting:\n  rules:\n  - {name: all, team: payments}\n")
    told = shown(cli, "apply", str(small))
    assert {(d["section"], d["name"]) for d in told["differences"]} == {
        ("teams", "payments"), ("rules", "all"), ("routing", "order"),
    }  # fmt: skip
    there = shown(cli, "org", "show")
    assert there["rules"] == ["all", "Checkout and cards", "Everything of the payments cluster"]
    assert (there["teams"], there["default_team"]) == (["operations", "payments"], "operations")

    told = shown(cli, "apply", str(small), "--prune")
    assert {(d["name"], d["change"]) for d in told["differences"]} == {
        ("operations", "removed"), ("Checkout and cards", "removed"),
        ("Everything of the payments cluster", "removed"), ("order", "changed"),
    }  # fmt: skip
    there = shown(cli, "org", "show")
    assert (there["rules"], there["teams"], there["default_team"]) == (["all"], ["payments"], None)
    assert there["schedules"] == ["payments-primary"]  # the file has no such section

    (tmp_path / "none.yaml").write_text("teams: {}\n")
    refused = cli("apply", str(tmp_path / "none.yaml"), "--prune", check=False)
    assert refused.returncode == 1
    assert "line 1: teams: payments cannot be removed: it is in use by rule 1, “all”" in refused.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("teams:\n  a:\n    members: [Bob, Nobody]\n",
         "line 3: teams.a.members.1: There is nobody called “Nobody”"),
        ("teams:\n  a:\n    lead: Bob\n", "line 3: teams.a.lead: Extra inputs are not permitted"),
        ("team: {}\n", "line 1: team: Extra inputs are not permitted"),
        ("teams:\n  a: {}\n  b:\n    schedule: none\n", "line 4: teams.b.schedule: There is no schedule “none”."),
        ("routing:\n  rules:\n  - name: x\n    team: nobody\n", "line 4: routing.rules.0.team: There is no team"),
        ("routing:\n  rules:\n  - name: x\n    team: t\n    conditions:\n      severities: [worst]\n",
         "line 6: routing.rules.0.conditions.severities.0: Input should be"),
        ("schedules:\n  s:\n    time_zone: UTC\n    layers:\n    - name: l\n      people: [Bob]\n"
         "      rotation: {kind: daily, handover: 9:00}\n      starts_on: 2026-01-01\n",
         "line 7: schedules.s.layers.0.rotation.handover: String should match"),
        ("maintenance_windows:\n  m: {start: 2030-01-01T00:00:00Z, end: 2029-01-01T00:00:00Z}\n",
         "line 2: maintenance_windows.m.end: is not after start"),
        ("response_targets: {critical: 0, high: 1, medium: 1, low: 1}\n",
         "line 1: response_targets.critical: Must"),
        ("teams:\n  a: {}\n  a: {}\n", "line 3: teams.a: is there twice"),
        ("teams: [\n", "expected the node content"),
        ("- teams\n", "line 1: must have sections"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(text: str, told: str) -> None:
    def read() -> None:
        document = Document("wrong.yaml", text)
        applying = Applying(document, document.wanted(PEOPLE), {person.id: person.role for person in PEOPLE})
        applying.events(fold_organization(ORG, ()), request_of(ORG))

    with pytest.raises(CannotBe) as refused:
        read()
    assert told in str(refused.value)
    assert str(refused.value).startswith("wrong.yaml, line ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("teams: &t\n  a: *t\n", "line 2: *t: aliases are not taken, write it out"),
        ("teams:\n  a: &a [1]\n  b: [*a, *a]\n", "line 3: *a: aliases"),
        ("teams: " + "[" * 100_000, "line 1: is nested more than 50 deep"),
        ("teams:\n" + "".join(f"{' ' * n}a:\n" for n in range(1, 2000)), "line 50: is nested"),
        ("teams:\n  ? [a]\n  : {}\n", "line 2: a key must be text"),
        ("teams:\n  {a: b}: {}\n", "line 2: a key must be text"),
        ("teams:\n  ²: {schedule: none}\n", "line 2: teams.².schedule: There is no schedule"),
        ("teams:\n  ²: {lead: Bob}\n", "line 2: teams.².lead: Extra inputs"),
        ("teams:\n  '12':\n    lead: Bob\n", "line 3: teams.12.lead: Extra inputs"),
        ("teams:\n  12: {}\n", "line 2: teams.12.[key]: Input should be a valid string"),
        ("response_targets:\n  critical: " + "9" * 5000, "line 2: response_targets.critical: Input should be"),
        ("a:\n  b: !!int x\n", "line 2: tag:yaml.org,2002:int: tags are not taken"),
        ("a: !!python/name:os.system ''\n", "line 1: tag:yaml.org,2002:python/name:os.system: tags"),
        ("teams:\n  a: \x07\n", "line 2: has a character that may not be in YAML"),
        ('teams:\n  "\\UFFFFFFFF": {}\n', "line 2: "),
        ("a: [\n<<: *b\n", "line 2: "),
        ("<<: x\n", "line 1: expected a mapping"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused_with_its_line(text: str, told: str) -> None:
    def read() -> None:
        document = Document("wrong.yaml", text)
        Applying(document, document.wanted(PEOPLE), {}).events(fold_organization(ORG, ()), request_of(ORG))

    with pytest.raises(CannotBe) as refused:
        read()
    assert f"wrong.yaml, {told}" in str(refused.value)


def test_a_mistake_changes_nothing_and_is_no_accident(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    for text, why in (
        ("teams:\n  a: {}\n  b: {schedule: none}\n", "line 3: teams.b.schedule: There is no schedule “none”."),
        ("organization: Other\n", "line 1: organization: is Other, but this is Shop"),
        ("teams: &t {a: *t}\n", "line 1: *t: aliases are not taken"),
        ('teams:\n  "\\ud800": {}\n', "line 1: teams.[key]: Input should be"),
    ):
        file.write_text(text, "utf-8")
        refused = cli("apply", str(file), check=False)
        assert (refused.returncode, why in refused.stderr) == (1, True), refused.stderr
    assert shown(cli, "org", "show")["teams"] == []


def test_a_window_that_is_over_is_passed_over() -> None:
    document = Document(
        "old.yaml", "maintenance_windows:\n  old: {start: 2020-01-01T00:00Z, end: 2020-01-02T00:00Z}\n"
    )
    applying = Applying(document, document.wanted(PEOPLE), {})
    assert applying.events(fold_organization(ORG, ()), request_of(ORG)) == ()
    assert applying.passed_over == ["old"]


def test_people_and_teams_by_hand(cli: Cli) -> None:
    people = shown(cli, "person", "list")["people"]
    assert [(p["name"], p["role"]) for p in people] == [
        ("Ada Admin", "org_admin"), ("Bob", "responder"), ("Cleo Night", "responder"),
    ]  # fmt: skip
    team = shown(cli, "team", "set", "payments", "--member", "BOB@example.org", "--member", "Cleo Night")
    assert [member["name"] for member in team["members"]] == ["Bob", "Cleo Night"]
    assert cli("team", "list").stdout == "payments: Bob, Cleo Night; schedule none, policy none\n"
    refused = cli("person", "role", "Bob", "member", check=False)
    assert (refused.returncode, refused.stderr) == (1, "Bob is still counted on by the team “payments”.\n")
    assert cli("person", "remove", "Bob", check=False).returncode == 1
    assert cli("team", "set", "payments", "--schedule", "none", check=False).stderr == (
        "schedule: There is no schedule “none”.\n"
    )
    cli("team", "remove", "payments")
    assert cli("team", "list").stdout == "There are no teams.\n"
    assert shown(cli, "person", "role", "Bob", "org_admin")["role"] == "org_admin"
    assert cli("person", "remove", "Bob").stdout == "Bob has no access any more.\n"
    assert "Bob" not in [person["name"] for person in shown(cli, "person", "list")["people"]]
    assert cli("team", "set", "payments", "--member", "Bob", check=False).returncode == 1
    assert cli("person", "role", "Bob", "responder").stdout == "Bob is responder.\n"
    assert "Bob" in [person["name"] for person in shown(cli, "person", "list")["people"]]
    assert cli("person", "role", "Zed", "member", check=False).stderr.startswith("There is nobody called “Zed”")
    assert cli("person", "role", "Bob", "king", check=False).returncode == 2
    assert cli("person", "add", "Eve", "--email", "ada@example.org", check=False).returncode == 1


def test_an_email_is_given_back_only_while_nobody_else_has_it(cli: Cli) -> None:
    cli("person", "remove", "Bob")
    cli("person", "add", "Bob the Second", "--email", "BOB@example.org")
    refused = cli("person", "role", "Bob", "responder", check=False)
    assert (refused.returncode, refused.stderr) == (
        1, "Somebody signs in with the e-mail address bob@example.org already.\n",
    )  # fmt: skip
    assert "Bob" not in [person["name"] for person in shown(cli, "person", "list")["people"]]


def test_an_organisation_is_renamed(product: Any) -> None:
    name = f"Old {uuid4().hex[:8]}"
    made = json.loads(product.cli("org", "create", name, "--admin", "Zoe", "--json").stdout)
    product.cli("org", "rename", f"New {name}", "--organization", name)
    assert (
        json.loads(product.cli("org", "show", "--organization", made["id"], "--json").stdout)["name"]
        == f"New {name}"
    )
    assert product.cli("org", "show", "--organization", name, check=False).returncode == 1
    assert product.cli("org", "show", check=False).stderr.startswith("There are several organisations")
    assert product.cli("org", "create", f"New {name}", "--admin", "Zoe", check=False).returncode == 1
