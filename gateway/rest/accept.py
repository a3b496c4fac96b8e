"""What a client would like: `Accept`, `Accept-Encoding`, `Prefer`."""

from __future__ import annotations


def accepts(header: str, wanted: str) -> bool:
    """Whether a list of ranges names exactly `wanted`, with a weight above 0."""
    for part in header.split(","):
        name, *parameters = (each.strip().lower() for each in part.split(";"))
        if name == wanted:
            return not any(_is_zero(each) for each in parameters)
    return False


def prefers(header: str, preference: str) -> bool:
    """Whether a Prefer header holds the preference."""
    return any(part.partition(";")[0].strip().lower() == preference for part in header.split(","))


def _is_zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    try:
        return name.strip() == "q" and float(value) == 0.0
    except ValueError:
        return False
