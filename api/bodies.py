"""Bodies that are the domain's own definitions: at the edge they may hold nothing else, however deep."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from api.call import caller
from api.directory import Caller
from domain.errors import InvalidField

Model = TypeVar("Model", bound=BaseModel)


def nothing_else(model: type[BaseModel]) -> Any:
    """A dependency that refuses fields which the body's model, or one within it, does not have: the ledger's own
    reading passes them over, so that an older program can read a newer one's events."""

    async def check(
        request: Request, _: Annotated[Caller, Depends(caller)]
    ) -> None:  # who asks is looked at first
        try:
            sent = await request.json()
        except (ValueError, RecursionError):
            return  # FastAPI refuses that by itself
        if isinstance(sent, dict):
            made(model, sent)

    return Depends(check)


def made(model: type[Model], values: Mapping[str, Any]) -> Model:
    """The model of these values and no others. Raises RequestValidationError, as FastAPI does for a body."""
    try:
        return model.model_validate(dict(values), extra="forbid")
    except ValidationError as wrong:
        errors = [{**each, "loc": ("body", *each["loc"])} for each in wrong.errors(include_url=False)]
        raise RequestValidationError(errors, body=dict(values)) from None


def required(field: str, value: str | None) -> str:
    """The field, which may be left out where the address says it, and here does not. Raises InvalidField."""
    if value is None:
        raise InvalidField(field, "Is needed.")
    return value


def named(model: type[Model], name: str, body: BaseModel) -> Model:
    """The definition that the body gives of what the address names. Raises InvalidField where it names another."""
    values = {field: getattr(body, field) for field in type(body).model_fields}
    said = values.get("name")
    if said is not None and said != name:
        raise InvalidField("name", "Is not the one in the address; a thing cannot be renamed.")
    return made(model, {**values, "name": name})
