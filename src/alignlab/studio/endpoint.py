"""What a row of the table is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .schema import Part, Role

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Form = Literal["json", "page", "events", "file"]
Takes = Literal["json", "file"]


@dataclass(frozen=True)
class Endpoint:
    """One method of one path. Fields of `asks` that the path names stand in it; the others are the query of a
    GET, and of what `takes` a file as its body, and the JSON body of everything else.

    `handler` gets the visit and what is asked, and gives what `answers` says or a response; the first
    paragraph of its docstring is what is said of the endpoint.
    """

    method: Method
    path: str
    role: Role
    asks: type[Part]
    answers: type[Part]
    handler: Callable[..., Any]
    form: Form = "json"
    takes: Takes = "json"

    @property
    def by_query(self) -> bool:
        """Whether its fields stand in the address alone."""
        return self.method == "GET" or self.takes == "file"
