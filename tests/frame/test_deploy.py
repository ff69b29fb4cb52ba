"""compose.yaml, its example settings and the Dockerfile hold together. Docker itself is not needed."""

import re
from typing import Any

import pytest
import typer
from deployed import (
    EXAMPLE,
    PLACE,
    ROOT,
    arguments,
    compose,
    dockerfile,
    environment,
    example,
    exec_form,
    filled,
    product_version,
)

from domain.alerting import MAY_BECOME
from fandesk.cli import app
from fandesk.settings import Settings
from workers.notifier.messages import OWN_WORDS
from workers.sandbox.templates import approved

SERVICES: dict[str, Any] = compose()["services"]
OWN = [name for name, service in SERVICES.items() if service["image"].startswith("fandesk:")]
ONE_SHOTS = ["migrate"]
ROLES = ["api", "project", "relay", "notify", "escalate"]

OF_A_PASSWORD = re.compile(r"PASSWORD|TOKEN|SECRET|_KEY")


def places() -> list[re.Match[str]]:
    text = (ROOT / "compose.yaml").read_text("utf-8")
    return list(PLACE.finditer(re.sub(r"^\s*#.*$", "", text, flags=re.M)))


def test_there_is_every_role_and_what_it_needs() -> None:
    assert set(SERVICES) == {"postgres", "kafka", "migrate", *ROLES, "whatsapp-sandbox"}
    assert SERVICES["whatsapp-sandbox"]["profiles"] == ["sandbox"]


def test_the_example_has_every_variable_and_no_other() -> None:
    in_compose = {place["name"] for place in places()}

    assert in_compose == set(example())
    assert (ROOT / "compose.yaml").read_text("utf-8").count("$") == len(places())


def test_each_variable_is_written_alike_wherever_it_is_needed() -> None:
    """One `:?` is enough to refuse; a default must not differ from one place to another."""
    written: dict[str, set[str]] = {}
    for place in places():
        if place["how"] == "-" and place["rest"]:
            written.setdefault(place["name"], set()).add(place["rest"])
    assert all(len(ways) == 1 for ways in written.values())
    for name, (default,) in written.items():
        assert example()[name] == default


def test_what_must_be_set_is_refused_with_words_when_it_is_not() -> None:
    needed = {place["name"] for place in places() if place["how"] == "?"}
    text = (ROOT / "compose.yaml").read_text("utf-8")

    assert needed == {
        "POSTGRES_PASSWORD",
        "DB_OWNER_PASSWORD",
        "DB_APP_PASSWORD",
        "FANDESK_DATABASE_URL",
        "FANDESK_MIGRATION_DATABASE_URL",
        "FANDESK_KAFKA_BOOTSTRAP",
        "FANDESK_PUBLIC_URL",
        "FANDESK_SECRET_KEY",
        "FANDESK_ADMIN_TOKEN",
    }
    for name in needed:
        with pytest.raises(KeyError, match=f"{name}: (set it to|copy) .+"):
            filled(text, {**example(), name: ""})
    assert "${" not in filled(text, example())


@pytest.mark.parametrize("service", OWN)
def test_settings_are_real_and_take_the_examples_values(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = environment(service, example())

    assert {name.removeprefix("FANDESK_").lower() for name in given} <= set(Settings.model_fields)
    assert all(name.startswith("FANDESK_") for name in given)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    Settings()


def test_each_service_gets_only_the_secrets_it_needs() -> None:
    having: dict[str, set[str]] = {}
    for service in SERVICES:
        for name in environment(service, example()):
            if OF_A_PASSWORD.search(name) or name.endswith("DATABASE_URL"):
                having.setdefault(name, set()).add(service)

    assert having == {
        "POSTGRES_PASSWORD": {"postgres"},
        "DB_OWNER_PASSWORD": {"postgres"},
        "DB_APP_PASSWORD": {"postgres"},
        "FANDESK_DATABASE_URL": {"migrate", *ROLES},
        "FANDESK_MIGRATION_DATABASE_URL": {"migrate"},
        "FANDESK_ADMIN_TOKEN": {"migrate"},
        "FANDESK_SECRET_KEY": {"api", "notify"},
        "FANDESK_KAFKA_PASSWORD": {"relay", "notify", "escalate"},
        "FANDESK_OIDC_CLIENT_SECRET": {"api"},
        "FANDESK_WHATSAPP_TOKEN": {"notify", "whatsapp-sandbox"},
        "FANDESK_WHATSAPP_APP_SECRET": {"api", "notify", "whatsapp-sandbox"},
        "FANDESK_WHATSAPP_VERIFY_TOKEN": {"api", "whatsapp-sandbox"},
    }


def test_no_password_is_anywhere_but_in_the_example() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if OF_A_PASSWORD.search(name) or name.endswith("DATABASE_URL"):
                assert PLACE.fullmatch(str(value)), f"{name} is written out"
    passwords = [value for name, value in example().items() if OF_A_PASSWORD.search(name) and value]
    texts = [
        ROOT / "compose.yaml",
        ROOT / "Dockerfile",
        *(ROOT / "deploy").glob("*"),
        *(ROOT / "docs").glob("*.md"),
    ]
    looked_at = [file for file in texts if file not in (EXAMPLE, EXAMPLE.with_name(".env"))]

    assert len(passwords) == 5
    for file in looked_at:
        text = file.read_text("utf-8")
        assert not [password for password in passwords if password in text], file
    assert "deploy/.env" in (ROOT / ".gitignore").read_text("utf-8").split()


@pytest.mark.parametrize("service", OWN)
def test_the_command_is_one_of_ours(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed as the program parses it, with the container's environment; not run."""
    name, *options = SERVICES[service]["command"]
    given = {**environment(service, example()), "FANDESK_WHATSAPP_APP_SECRET": "s"}
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    command = group.commands[name]

    context = command.make_context(name, options)

    if service in ("api", "whatsapp-sandbox"):
        assert context.params["host"] == "0.0.0.0"
        published = SERVICES[service]["ports"]
        assert [filled(port, {}).rsplit(":", 1)[1] for port in published] == [str(context.params["port"])]


def test_images_are_pinned() -> None:
    for service in SERVICES.values():
        assert re.fullmatch(r"[\w./-]+:\d+(\.\d+)*", service["image"]), service["image"]
    assert {SERVICES[name]["image"] for name in OWN} == {f"fandesk:{product_version()}"}


def test_everything_is_watched_and_comes_back_but_for_the_one_shots() -> None:
    for name, service in SERVICES.items():
        if name in ONE_SHOTS:
            assert service["restart"] == "no"
            assert service["healthcheck"] == {"disable": True}  # the image has one
        else:
            assert service["restart"] == "unless-stopped"
            test = service["healthcheck"]["test"]
            assert test[0] == "CMD"
            assert len(test) > 1
            assert {"interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])


def test_what_starts_first_is_awaited() -> None:
    def awaited(service: str) -> dict[str, str]:
        return {name: each["condition"] for name, each in SERVICES[service].get("depends_on", {}).items()}

    assert awaited("migrate") == {"postgres": "service_healthy"}
    for role in ROLES:
        assert awaited(role)["migrate"] == "service_completed_successfully"
    for role in ("relay", "notify", "escalate"):
        assert awaited(role)["kafka"] == "service_healthy"


def test_containers_may_do_little() -> None:
    for name, service in SERVICES.items():
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["cap_drop"] == ["ALL"]
        assert service.get("read_only", False) is (name != "kafka")
        assert "privileged" not in service
        assert service["deploy"]["resources"]["limits"]["memory"]
        if name != "kafka":  # whose image has a user of its own
            assert service["user"] not in ("root", "0")


def test_only_this_machine_reaches_the_ports() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert set(published) == {"api", "whatsapp-sandbox"}
    for ports in published.values():
        for port in ports:
            assert filled(port, {}).startswith("127.0.0.1:")
            assert filled(port, example()).startswith("127.0.0.1:")


def test_volumes_and_files_are_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") else source in compose()["volumes"]
    assert SERVICES["postgres"]["volumes"][0].endswith(":/var/lib/postgresql")  # of version 18, not .../data


def test_the_image_is_made_in_two_stages_and_ends_as_an_ordinary_user() -> None:
    build, final = dockerfile()

    assert arguments(build, "FROM") == ["python:3.13-slim-bookworm AS build"]
    assert arguments(final, "FROM") == ["python:3.13-slim-bookworm"]
    assert arguments(final, "USER") == [SERVICES["api"]["user"]] == ["10001:10001"]
    assert all(given.startswith("--from=build ") for given in arguments(final, "COPY"))
    assert not any(word in " ".join(arguments(final, "RUN")) for word in ("apt", "gcc", "pip install"))
    after_user = [name for name, _ in final[[name for name, _ in final].index("USER") :]]
    assert "RUN" not in after_user


def test_the_image_starts_the_program_and_is_told_to_stop_as_it_understands() -> None:
    _, final = dockerfile()
    (healthcheck,) = arguments(final, "HEALTHCHECK")

    assert exec_form(*arguments(final, "ENTRYPOINT")) == ["fandesk"]
    assert exec_form(*arguments(final, "CMD")) == SERVICES["api"]["command"]
    assert ["CMD", *exec_form(healthcheck.partition("CMD ")[2])] == SERVICES["api"]["healthcheck"]["test"]
    assert arguments(final, "STOPSIGNAL") == ["SIGTERM"]
    assert f'org.opencontainers.image.version="{product_version()}"' in " ".join(arguments(final, "LABEL"))


def test_the_image_copies_what_exists_and_all_that_is_a_package() -> None:
    build, _ = dockerfile()
    sources = {source for given in arguments(build, "COPY") for source in given.split()[:-1]}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"}
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    packages = re.search(r"^packages = \[(.*)\]$", pyproject, re.M)

    assert packages is not None
    assert {name.strip(' "').split(".")[0] for name in packages[1].split(",")} <= sources
    assert all((ROOT / source).exists() for source in sources)
    assert sources == allowed


def test_the_image_holds_no_secret() -> None:
    for stage in dockerfile():
        for instruction, given in stage:
            if instruction in ("ENV", "ARG", "LABEL"):
                assert not OF_A_PASSWORD.search(given), given
            assert ".env" not in given


def test_the_docs_have_the_template_as_it_is_sent_to() -> None:
    docs = (ROOT / "docs/whatsapp.md").read_text("utf-8")
    alert, *_ = approved("incident_alert", "en_US", "")

    assert f"\n```text\n{alert.body}\n```\n" in docs
    assert len(alert.body) - 4 * len("{{1}}") <= OWN_WORDS
    for word in (alert.name, alert.language, *(button.title for button in alert.buttons)):
        assert f"`{word}`" in docs
    for state in MAY_BECOME:
        assert f"| `{state}` |" in docs
