"""The gateway's settings and the environment variables they come from."""

from __future__ import annotations

from dataclasses import dataclass

from framewire.environment import Environment
from framewire.storage.s3 import S3Settings
from gateway.addresses import Address, refuse_public

VARIABLES = """\
environment:
  FRAMEWIRE_NATS_URL            NATS servers, e.g. nats://127.0.0.1:4222                  (required)
  FRAMEWIRE_S3_ENDPOINT         object store as this process reaches it                   (Amazon's when empty)
  FRAMEWIRE_S3_PUBLIC_ENDPOINT  object store as clients reach it                          (the same)
  FRAMEWIRE_S3_BUCKET           bucket, created when missing                              (framewire)
  FRAMEWIRE_S3_REGION           region                                                    (us-east-1)
  FRAMEWIRE_S3_ACCESS_KEY       access key                                                (required)
  FRAMEWIRE_S3_SECRET_KEY       secret key                                                (required)
  FRAMEWIRE_DATABASE_URL        sqlite+aiosqlite:///PATH or postgresql+asyncpg://...      (sqlite+aiosqlite:///framewire.db)
  FRAMEWIRE_GRPC_ADDRESS        host:port for gRPC; port 0 takes a free one               (127.0.0.1:7600)
  FRAMEWIRE_REST_ADDRESS        host:port for REST                                        (127.0.0.1:7680)
  FRAMEWIRE_LOG_STYLE           text or json                                              (text)
  FRAMEWIRE_LOG_LEVEL           DEBUG, INFO, WARNING or ERROR                             (INFO)

Until authentication is configured both addresses must be of the loopback interface.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Everything the gateway is told from outside."""

    nats_url: str
    """NATS servers, separated by commas."""
    store: S3Settings
    """The object store."""
    database_url: str
    """SQLAlchemy URL."""
    grpc: Address
    """Where gRPC listens; loopback."""
    rest: Address
    """Where REST listens; loopback."""

    @classmethod
    def from_environment(cls, env: Environment) -> GatewaySettings:
        """Read and check all of them. Raises LocalError (CONFIG_INVALID) naming the variable."""
        return cls(
            nats_url=env.text("FRAMEWIRE_NATS_URL"),
            store=_store(env),
            database_url=env.text("FRAMEWIRE_DATABASE_URL", "sqlite+aiosqlite:///framewire.db"),
            grpc=_address(env, "FRAMEWIRE_GRPC_ADDRESS", "127.0.0.1:7600"),
            rest=_address(env, "FRAMEWIRE_REST_ADDRESS", "127.0.0.1:7680"),
        )


def _address(env: Environment, name: str, default: str) -> Address:
    address = Address.parse(env.text(name, default), name)
    refuse_public(address, name)
    return address


def _store(env: Environment) -> S3Settings:
    return S3Settings(
        endpoint=env.text("FRAMEWIRE_S3_ENDPOINT", ""),
        public_endpoint=env.text("FRAMEWIRE_S3_PUBLIC_ENDPOINT", ""),
        bucket=env.text("FRAMEWIRE_S3_BUCKET", "framewire"),
        region=env.text("FRAMEWIRE_S3_REGION", "us-east-1"),
        access_key=env.text("FRAMEWIRE_S3_ACCESS_KEY"),
        secret_key=env.text("FRAMEWIRE_S3_SECRET_KEY"),
    )
