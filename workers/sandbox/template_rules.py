"""Checks a template message against the template it names."""

import re

from workers.sandbox.parts import Part
from workers.sandbox.refusals import Refused
from workers.sandbox.templates import MAX_BODY, Template, TemplateButton

BROKEN = re.compile(r"[\n\r\t]| {5}")
MAX_PAYLOAD = 256


def fill(content: Part, templates: tuple[Template, ...]) -> tuple[Template, list[str], list[str | None]]:
    """The template named, its body's parameters, and what was sent for each of its buttons."""
    content.only("name", "language", "components", "namespace")
    name = content.text("name")
    language = content.part("language")
    language.only("code", "policy")
    code = language.text("code")
    if language.has("policy") and language.text("policy") != "deterministic":
        raise Refused(100, message=f"Param {language.name('policy')} must be one of {{DETERMINISTIC}}.")
    template = next((t for t in templates if (t.name, t.language) == (name, code)), None)
    if template is None:
        raise Refused(132001, f"template name ({name[:512]}) does not exist in {code[:40]}")

    bodies: list[list[Part]] = []
    sent: list[str | None] = [None] * len(template.buttons)
    for component in content.parts("components"):
        component.only("type", "sub_type", "index", "parameters")
        match component.text("type").lower():
            case "body":
                bodies.append(component.parts("parameters"))
            case "button":
                index, value = _button(component, template)
                if sent[index] is not None:
                    raise Refused(132018, f"buttons: Button at index {index} is given twice")
                sent[index] = value
            case "header" | "footer" as kind:
                _count(kind, len(component.parts("parameters")), 0)
            case kind:
                raise Refused(100, f"{component.name('type')} {kind[:40]!r} is not one of body, button, header")
    if len(bodies) > 1:
        raise Refused(132018, "The component body is given twice")
    parameters = _body(bodies[0] if bodies else [], template)
    for index, button in enumerate(template.buttons):
        if button.kind == "url" and sent[index] is None:
            raise Refused(131008, f"buttons: Button at index {index} of type Url requires a parameter")
    if len(template.filled(parameters)) > MAX_BODY:
        raise Refused(132005, f"The body with its parameters has more than {MAX_BODY} characters")
    return template, parameters, sent


def _body(parameters: list[Part], template: Template) -> list[str]:
    _count("body", len(parameters), template.parameters)
    return [_text("body", parameter) for parameter in parameters]


def _count(where: str, given: int, expected: int) -> None:
    if given != expected:
        raise Refused(
            132000,
            f"{where}: number of localizable_params ({given}) does not match"
            f" the expected number of params ({expected})",
        )


def _text(where: str, parameter: Part) -> str:
    parameter.only("type", "text")
    if parameter.text("type") != "text":
        raise Refused(132012, f"{where}: {parameter.place} must be of type text")
    value = parameter.fields.get("text")
    if value is not None and not isinstance(value, str):
        raise Refused(100, message=f"Param {parameter.name('text')} must be a string.")
    if not value or not value.strip():
        raise Refused(131008, f"{where}: Parameter of type text is missing text value")
    if BROKEN.search(value):
        raise Refused(
            132018,
            "Param text cannot have new-line/tab characters or more than 4 consecutive spaces",
        )
    return value


def _button(component: Part, template: Template) -> tuple[int, str]:
    index = component.fields.get("index")
    if isinstance(index, bool) or not re.fullmatch(r"[0-9]", str(index)):
        raise Refused(131008, f"{component.name('index')} must say which button, from 0 to 9")
    position = int(str(index))
    if position >= len(template.buttons):
        raise Refused(132018, f"buttons: The template has no button at index {position}")
    button = template.buttons[position]
    if component.text("sub_type").lower() != button.kind:
        raise Refused(132018, f"buttons: Button at index {position} must be of type {button.name}")
    parameters = component.parts("parameters")
    if len(parameters) != 1:
        if button.kind == "url" and not parameters:
            raise Refused(131008, f"buttons: Button at index {position} of type Url requires a parameter")
        _count("buttons", len(parameters), 1)
    return position, _button_value(button, parameters[0])


def _button_value(button: TemplateButton, parameter: Part) -> str:
    if button.kind == "url":
        return _text("buttons", parameter)
    parameter.only("type", "payload")
    if parameter.text("type") != "payload":
        raise Refused(132012, f"buttons: {parameter.place} must be of type payload")
    payload = parameter.fields.get("payload")
    if not isinstance(payload, str) or not payload:
        raise Refused(131008, f"buttons: {parameter.name('payload')} is missing")
    if len(payload) > MAX_PAYLOAD:
        raise Refused(131009, f"buttons: A payload may have {MAX_PAYLOAD} characters")
    return payload
