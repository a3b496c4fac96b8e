"""The public methods, read from the descriptors: every wire serves exactly what the contract lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from framewire.v1 import asset_pb2, job_pb2, operations_pb2, step_pb2

SERVICES: tuple[ServiceDescriptor, ...] = (
    asset_pb2.DESCRIPTOR.services_by_name["AssetService"],
    job_pb2.DESCRIPTOR.services_by_name["JobService"],
    step_pb2.DESCRIPTOR.services_by_name["StepService"],
    operations_pb2.DESCRIPTOR.services_by_name["OperationsService"],
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One method of one service."""

    service: str
    """Full name, e.g. `framewire.v1.JobService`."""
    name: str
    """e.g. `CreateJob`."""
    request: type[Message]
    response: type[Message]
    streams: bool
    """It answers with a stream."""
    takes_stream: bool
    """It is asked with a stream, which only gRPC can send."""
    http: HttpRule
    """Its address on REST."""
    descriptor: MethodDescriptor
    """As the contract has it."""

    @property
    def full_name(self) -> str:
        """`framewire.v1.JobService/CreateJob`."""
        return f"{self.service}/{self.name}"


def public_methods(services: Iterable[ServiceDescriptor] = SERVICES) -> list[Method]:
    """Every method of every public service."""
    return [_method(method) for service in services for method in service.methods]


def _method(descriptor: MethodDescriptor) -> Method:
    return Method(
        service=descriptor.containing_service.full_name,
        name=descriptor.name,
        request=message_factory.GetMessageClass(descriptor.input_type),
        response=message_factory.GetMessageClass(descriptor.output_type),
        streams=descriptor.server_streaming,
        takes_stream=descriptor.client_streaming,
        http=descriptor.GetOptions().Extensions[annotations_pb2.http],
        descriptor=descriptor,
    )
