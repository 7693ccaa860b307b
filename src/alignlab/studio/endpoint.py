"""What a row of the table is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .limits import Limit, limits_of
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

    @property
    def limits(self) -> tuple[Limit, ...]:
        """How often it may be asked."""
        return limits_of(self.method, self.path, self.role)


@dataclass(frozen=True)
class Door:
    """One of the sockets at which a studio answers.

    Attributes:
        authorities: names with their port by which it is called there.
        cookie: the name of its cookie: cookies do not know ports.
        shared: others of the network come in by it. No link is good there, nobody is an instructor, and
            everybody has to keep to the limits.
        scheme: http or https.
    """

    authorities: frozenset[str]
    cookie: str
    shared: bool = False
    scheme: Literal["http", "https"] = "http"
