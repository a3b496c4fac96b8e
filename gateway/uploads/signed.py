"""Signed requests as messages."""

from __future__ import annotations

from framewire.db.rows import timestamp
from framewire.storage.interface import SignedRequest
from framewire.v1.asset_pb2 import SignedUrl


def signed_url(signed: SignedRequest) -> SignedUrl:
    """What a client is told of a signed request."""
    return SignedUrl(
        url=signed.url, method=signed.method, headers=dict(signed.headers), expire_time=timestamp(signed.expires)
    )
