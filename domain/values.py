"""Fields that several definitions have."""

from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, Strict, StringConstraints

T = TypeVar("T")


def _some(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise ValueError("is empty: at least one is needed")
    return values


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    return text


NO_NUL: Final = AfterValidator(_no_nul)
"""PostgreSQL cannot hold that character in a text."""

SOME: Final = AfterValidator(_some)
"""At least one. pydantic's own `min_length` also says so where there is one, and it is refused by itself."""

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), NO_NUL]
"""What people call a thing."""

Whole = Annotated[int, Strict()]
"""A whole number; neither true, which Python takes for 1, nor "3"."""
