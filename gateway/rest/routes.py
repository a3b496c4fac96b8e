"""The addresses of the contract, and which one a request means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.methods import Method
from gateway.rest.template import Template, compile_template

_VERBS = ("get", "put", "post", "delete", "patch")
ANY_VERB = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One address of one method."""

    verb: str
    """HTTP method in capitals; `*` is any."""
    template: Template
    body: str
    """`*`: the request's body is the message; a field's name: the body is that field; empty: there is no body."""
    response_body: str
    """The field of the answer that is sent; empty: the whole answer."""
    method: Method

    @property
    def path(self) -> str:
        """The template as the contract writes it."""
        return self.template.text


@dataclass(frozen=True, slots=True)
class Match:
    """A route, and what the path says."""

    route: Route
    variables: dict[str, str]


class RouteTable:
    """All addresses. The most specific one that fits a path is meant, whatever order they were declared in."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[str, list[Route]] = {}
        for route in sorted(routes, key=lambda route: route.template.rank):
            self._routes.setdefault(route.template.verb, []).append(route)

    def find(self, verb: str, raw_path: str) -> Match | None:
        """The route for a request. Raises ValueError for a path that is no UTF-8."""
        for route in self._candidates(raw_path):
            if route.verb in {verb, ANY_VERB} and (values := route.template.match(raw_path)) is not None:
                return Match(route, values)
        return None

    def verbs(self, raw_path: str) -> list[str]:
        """The HTTP methods this path knows; empty when nobody knows it."""
        routes = self._candidates(raw_path)
        return sorted({route.verb for route in routes if route.template.pattern.fullmatch(raw_path)})

    def _candidates(self, raw_path: str) -> list[Route]:
        """What ends in `:verb`, with a verb that some address has, means one of those addresses and no other."""
        verb = raw_path.rpartition("/")[2].rpartition(":")[2]
        return self._routes.get(verb) or self._routes.get("", [])


def routes_of(method: Method) -> list[Route]:
    """The method's address and its additional bindings.

    Raises ValueError for an annotation that does not fit the messages: the gateway does not start with one.
    """
    if method.takes_stream:
        return []
    return [_route(method, rule) for rule in (method.http, *method.http.additional_bindings)]


def _route(method: Method, rule: HttpRule) -> Route:
    verb, path = _pattern(method, rule)
    try:
        template = compile_template(path)
        for variable in template.variables:
            _check_variable(method.descriptor.input_type, variable)
        if rule.body not in {"", "*"}:
            _ = method.descriptor.input_type.fields_by_name[rule.body]
        if rule.response_body:
            _ = method.descriptor.output_type.fields_by_name[rule.response_body]
    except (ValueError, KeyError) as error:
        raise ValueError(f"{method.full_name}: {error}") from None
    return Route(verb=verb, template=template, body=rule.body, response_body=rule.response_body, method=method)


def _pattern(method: Method, rule: HttpRule) -> tuple[str, str]:
    verb = rule.WhichOneof("pattern")
    if verb == "custom":
        return rule.custom.kind.upper(), rule.custom.path
    if verb not in _VERBS:
        raise ValueError(f"{method.full_name}: no HTTP address")
    return verb.upper(), getattr(rule, verb)


def _check_variable(message: Descriptor, variable: str) -> None:
    """A variable has to lead to one scalar."""
    field: FieldDescriptor | None = None
    for name in variable.split("."):
        if field is not None and (field.message_type is None or field.is_repeated):
            raise ValueError(f"{variable} goes through {field.name}, which is no message")
        field = (field.message_type if field is not None else message).fields_by_name[name]
    if field is None or field.is_repeated or field.message_type is not None:
        raise ValueError(f"{variable} is no single value")
