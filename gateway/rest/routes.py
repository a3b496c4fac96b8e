"""google.api.http templates as aiohttp paths."""

from __future__ import annotations

import re
from dataclasses import dataclass

from google.api.http_pb2 import HttpRule

from gateway.methods import Method

_VERBS = ("get", "put", "post", "delete", "patch")
_VARIABLE = re.compile(r"\{([a-z][a-z0-9_.]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One address of one method."""

    verb: str
    """HTTP method in capitals."""
    path: str
    """As aiohttp writes it; a variable is one segment up to a `:verb`."""
    body: bool
    """The request's body is the message; query parameters are not allowed."""
    method: Method


def routes_of(method: Method) -> list[Route]:
    """The method's address and its additional bindings. Raises ValueError for what is not supported."""
    return [_route(method, rule) for rule in (method.http, *method.http.additional_bindings)]


def _route(method: Method, rule: HttpRule) -> Route:
    verb = rule.WhichOneof("pattern")
    if verb not in _VERBS:
        raise ValueError(f"{method.full_name}: no HTTP address, or one of a kind that is not supported")
    if rule.body not in {"", "*"}:
        raise ValueError(f"{method.full_name}: body must be '*' or absent, not {rule.body!r}")
    path = _VARIABLE.sub(r"{\1:[^/:]+}", getattr(rule, verb))
    return Route(verb=verb.upper(), path=path, body=rule.body == "*", method=method)
