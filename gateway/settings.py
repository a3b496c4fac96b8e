"""The gateway's settings and the environment variables they come from."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from framewire.environment import Environment
from framewire.errors import LocalError
from framewire.storage.s3 import S3Settings
from framewire.storage.s3_lifecycle import Lifecycle
from gateway.addresses import Address, refuse_public
from gateway.estimates import EstimateSettings
from gateway.limits import LimitSettings
from gateway.proxies import Proxies
from gateway.rest.settings import HttpSettings
from gateway.uploads import UploadSettings
from gateway.uploads.kinds import KINDS

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
  FRAMEWIRE_REST_ORIGINS        origins whose pages may call, separated by commas; * is any    (none)
  FRAMEWIRE_REST_HOSTS          names REST is reached by beside localhost; * is any            (none)
  FRAMEWIRE_RATE_LIMIT          calls an address, or a key, may make in 10 s; 0 is no limit    (10000)
  FRAMEWIRE_STREAMS_PER_ADDRESS streams one address may have open; 0 is no limit               (2000)
  FRAMEWIRE_STREAMS             streams all of them may have open; 0 is no limit               (5000)
  FRAMEWIRE_TRUSTED_PROXIES     addresses and networks of proxies whose X-Forwarded-For or Forwarded is believed (none)
  FRAMEWIRE_SENDERS             uploads that may pass through this gateway at once; 0 is no limit (64)
  FRAMEWIRE_CALLS_AT_ONCE       calls that may run at once; 0 is no limit                      (500)
  FRAMEWIRE_DEADLINE            seconds a call may take                                        (660)
  FRAMEWIRE_CONNECTIONS         connections to REST at once                                    (5000)
  FRAMEWIRE_REQUEST_BYTES       bytes of a request, on both ports                              (1048576)
  FRAMEWIRE_BODY_TIMEOUT        seconds in which the body of a request has to arrive           (30)
  FRAMEWIRE_IDLE_TIMEOUT        seconds in which the head of the next request has to arrive    (75)
  FRAMEWIRE_UPLOAD_KINDS        kinds of files taken, by content; * takes anything             (all that are known)
  FRAMEWIRE_UPLOADS_PER_HOUR    uploads a workspace may begin in an hour; 0 is no limit        (1000)
  FRAMEWIRE_UPLOAD_HOURS        hours in which an upload has to be finished                    (24)
  FRAMEWIRE_UPLOAD_PARTS_FROM   uploads larger than this are told to come in parts             (64M)
  FRAMEWIRE_UPLOAD_SCRATCH      folder where uploads lie while they are looked at              (the system's)
  FRAMEWIRE_PROBE               command line of the program that looks into uploads            (nobody looks)
  FRAMEWIRE_ESTIMATE            command line of the program that looks at what jobs would do   (no estimates)
  FRAMEWIRE_ESTIMATES_AT_ONCE   estimates at the same time                                     (2)
  FRAMEWIRE_KEEP_DAYS           days assets are kept; 0 is for ever                            (7)
  FRAMEWIRE_S3_LIFECYCLE        yes: the bucket gets lifecycle rules, a net below the janitor  (no)
  FRAMEWIRE_S3_ARCHIVE_CLASS    storage class objects change to after a day, e.g. GLACIER_IR   (they stay)
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
    limits: LimitSettings = LimitSettings()  # noqa: RUF009 - frozen
    """What one caller, and all together, may ask for."""
    http: HttpSettings = HttpSettings()  # noqa: RUF009 - frozen
    """What a connection to REST may do."""
    uploads: UploadSettings = UploadSettings()  # noqa: RUF009 - frozen
    """What uploads may be, and how long what is kept is kept."""
    estimates: EstimateSettings = EstimateSettings()  # noqa: RUF009 - frozen
    """How to find out what jobs would make."""
    lifecycle: Lifecycle | None = None
    """Rules the bucket is given; None leaves it as it is."""

    @classmethod
    def from_environment(cls, env: Environment) -> GatewaySettings:
        """Read and check all of them. Raises LocalError (CONFIG_INVALID) naming the variable."""
        return cls(
            nats_url=env.text("FRAMEWIRE_NATS_URL"),
            store=_store(env),
            database_url=env.text("FRAMEWIRE_DATABASE_URL", "sqlite+aiosqlite:///framewire.db"),
            grpc=_address(env, "FRAMEWIRE_GRPC_ADDRESS", "127.0.0.1:7600"),
            rest=_address(env, "FRAMEWIRE_REST_ADDRESS", "127.0.0.1:7680"),
            limits=_limits(env),
            http=_http(env),
            uploads=(uploads := _uploads(env)),
            estimates=_estimates(env, uploads),
            lifecycle=_lifecycle(env, uploads),
        )


def _limits(env: Environment) -> LimitSettings:
    usual = LimitSettings()
    return LimitSettings(
        calls=env.integer("FRAMEWIRE_RATE_LIMIT", usual.calls, least=0),
        streams_per_address=env.integer("FRAMEWIRE_STREAMS_PER_ADDRESS", usual.streams_per_address, least=0),
        streams=env.integer("FRAMEWIRE_STREAMS", usual.streams, least=0),
        senders=env.integer("FRAMEWIRE_SENDERS", usual.senders, least=0),
        calls_at_once=env.integer("FRAMEWIRE_CALLS_AT_ONCE", usual.calls_at_once, least=0),
        deadline=env.integer("FRAMEWIRE_DEADLINE", int(usual.deadline), least=1),
        proxies=Proxies.parse(_list(env, "FRAMEWIRE_TRUSTED_PROXIES"), "FRAMEWIRE_TRUSTED_PROXIES"),
    )


def _http(env: Environment) -> HttpSettings:
    usual = HttpSettings()
    return HttpSettings(
        origins=_list(env, "FRAMEWIRE_REST_ORIGINS"),
        hosts=_list(env, "FRAMEWIRE_REST_HOSTS"),
        largest_body=env.integer("FRAMEWIRE_REQUEST_BYTES", usual.largest_body, least=1024),
        body_timeout=env.integer("FRAMEWIRE_BODY_TIMEOUT", int(usual.body_timeout), least=1),
        idle_timeout=env.integer("FRAMEWIRE_IDLE_TIMEOUT", int(usual.idle_timeout), least=1),
        connections=env.integer("FRAMEWIRE_CONNECTIONS", usual.connections, least=1),
    )


def _uploads(env: Environment) -> UploadSettings:
    usual = UploadSettings()
    days = env.integer("FRAMEWIRE_KEEP_DAYS", 7, least=0)
    scratch = env.text("FRAMEWIRE_UPLOAD_SCRATCH", " ").strip()
    return UploadSettings(
        kinds=_kinds(_list(env, "FRAMEWIRE_UPLOAD_KINDS")),
        per_hour=env.integer("FRAMEWIRE_UPLOADS_PER_HOUR", usual.per_hour, least=0),
        time=timedelta(hours=env.integer("FRAMEWIRE_UPLOAD_HOURS", 24, least=2)),
        multipart_from=env.size("FRAMEWIRE_UPLOAD_PARTS_FROM") or usual.multipart_from,
        scratch=Path(scratch) if scratch else None,
        probe=tuple(shlex.split(env.text("FRAMEWIRE_PROBE", " "))),
        # nothing else: this process knows keys that no program that opens strangers' files may know
        probe_environment={
            "FRAMEWIRE_SANDBOX": env.text("FRAMEWIRE_SANDBOX", "prefer"),
            "OPENBLAS_NUM_THREADS": "1",
        },
        keep=timedelta(days=days) if days else None,
    )


def _estimates(env: Environment, uploads: UploadSettings) -> EstimateSettings:
    usual = EstimateSettings()
    return EstimateSettings(
        program=tuple(shlex.split(env.text("FRAMEWIRE_ESTIMATE", " "))),
        environment=uploads.probe_environment,
        at_once=env.integer("FRAMEWIRE_ESTIMATES_AT_ONCE", usual.at_once, least=1),
        scratch=uploads.scratch,
    )


def _lifecycle(env: Environment, uploads: UploadSettings) -> Lifecycle | None:
    if not env.flag("FRAMEWIRE_S3_LIFECYCLE", default=False):
        return None
    return Lifecycle(
        archive_class=env.text("FRAMEWIRE_S3_ARCHIVE_CLASS", " ").strip(),
        abort_after=uploads.time.days + 2,
        # twice the time: what a job needed when it expired is left to the janitor
        delete_after=None if uploads.keep is None else 2 * uploads.keep.days + 7,
    )


def _kinds(named: tuple[str, ...]) -> frozenset[str]:
    if named == ("*",):
        return frozenset()
    if unknown := set(named) - KINDS:
        taken = ", ".join(sorted(KINDS))
        raise LocalError(f"FRAMEWIRE_UPLOAD_KINDS: {', '.join(sorted(unknown))} is none of {taken}")
    return frozenset(named) or KINDS


def _list(env: Environment, name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in env.text(name, " ").split(",") if part.strip())


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
