"""The name of a model behind a server: `http://host:port/v1#model`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from ..errors import UserError


@dataclass(frozen=True, slots=True)
class Address:
    """`http://host:port/v1#model` in its parts."""

    secure: bool
    host: str
    port: int | None
    path: str
    model: str

    @property
    def url(self) -> str:
        """The address without the model."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "https" if self.secure else "http"
        port = f":{self.port}" if self.port else ""
        return f"{scheme}://{host}{port}{self.path}"

    @staticmethod
    def parse(name: str) -> Address:
        """Raises UserError for what is no such address. Without a path, `/v1` is meant."""
        try:
            parts = urlsplit(name)
            port = parts.port
        except ValueError as error:
            raise UserError(
                f"not an address: {error}", where=name[:200], remedy="http://host:port/v1#model"
            ) from None
        if parts.username is not None or parts.password is not None or parts.query:
            # the name is not shown: it may hold a secret
            raise UserError(
                "the address of an endpoint holds a user, a password or a query",
                remedy="http://host:port/v1#model, and the key in the environment",
            )
        if not parts.fragment or not parts.hostname or any(ord(c) <= 32 or ord(c) > 126 for c in parts.path):
            missing = "the model" if parts.hostname else "the host"
            raise UserError(
                f"the address of an endpoint lacks {missing}",
                where=name[:200],
                remedy="http://host:port/v1#model, with the name by which the server knows the model",
            )
        return Address(
            parts.scheme == "https", parts.hostname, port, parts.path.rstrip("/") or "/v1", parts.fragment
        )


def is_endpoint(name: str) -> bool:
    """Whether a model name is the address of a server."""
    return name.startswith(("http://", "https://"))
