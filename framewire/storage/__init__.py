"""Where media lies: the `ObjectStore` seam, its S3 implementation and the names of objects."""

from framewire.storage.interface import ObjectInfo, ObjectStore, PresignsUrls, SignedRequest

__all__ = ["ObjectInfo", "ObjectStore", "PresignsUrls", "SignedRequest"]
