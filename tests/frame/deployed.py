"""What the deployment files say, read without Docker."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "deploy/example.env"

PLACE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<how>[-?])(?P<rest>[^}]*))?\}")
"""A variable in compose.yaml: `${NAME}`, `${NAME:-default}` or `${NAME:?message}`."""


def compose() -> dict[str, Any]:
    """compose.yaml with its anchors resolved, its variables not."""
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return read


def example() -> dict[str, str]:
    """The variables of deploy/example.env; what they take from each other is filled in, as Compose does it."""
    variables: dict[str, str] = {}
    for line in EXAMPLE.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            assert name not in variables
            variables[name] = filled(value, variables)
    return variables


def filled(text: str, variables: dict[str, str]) -> str:
    """The text with its variables filled in; KeyError with the message for one that must be set and is not."""

    def value(place: re.Match[str]) -> str:
        found = variables.get(place["name"], "")
        if not found and place["how"] == "?":
            raise KeyError(f"{place['name']}: {place['rest']}")
        return found or (place["rest"] if place["how"] == "-" else "")

    return PLACE.sub(value, text)


def environment(service: str, variables: dict[str, str]) -> dict[str, str]:
    """What a container of the service has in its environment."""
    given = compose()["services"][service].get("environment", {})
    return {name: filled(str(value), variables) for name, value in given.items()}


def dockerfile() -> list[list[tuple[str, str]]]:
    """The Dockerfile's instructions and their arguments, stage by stage."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.M).replace("\\\n", " ")
    stages: list[list[tuple[str, str]]] = []
    for line in filter(str.strip, text.splitlines()):
        instruction, _, arguments = line.strip().partition(" ")
        if instruction == "FROM":
            stages.append([])
        stages[-1].append((instruction, arguments.strip()))
    return stages


def arguments(stage: list[tuple[str, str]], instruction: str) -> list[str]:
    """Of each instruction of that name in a stage."""
    return [given for name, given in stage if name == instruction]


def exec_form(given: str) -> list[str]:
    """The words of an exec-form instruction."""
    words: list[str] = json.loads(given)
    return words


def product_version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])
