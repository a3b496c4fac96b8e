"""Uploads: their bytes come, are checked, and become an asset.

    clients --signed URLs----------------------------> object store   uploads/, parts
    clients --gRPC stream, tus--> writer --parts, tail--> object store
                                                            |
       CompleteUpload, the last byte --> finish --> checker: size, hash, kind, probe --> assets/

Nothing is decoded here: the probe is a program of its own.
"""

from gateway.uploads.checker import SigningStore, UploadChecker
from gateway.uploads.settings import UploadSettings

__all__ = ["SigningStore", "UploadChecker", "UploadSettings"]
