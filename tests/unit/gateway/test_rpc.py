"""What a gRPC server is expected to have."""

from __future__ import annotations

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from framewire.errors import ErrorCode, LocalError
from framewire.v1.job_pb2 import CreateJobRequest, GetJobRequest, WatchJobRequest
from framewire.v1.step_pb2 import ListStepsRequest
from gateway.addresses import Address
from gateway.app import Gateway
from gateway.methods import SERVICES, public_methods
from gateway.rpc.server import RpcServer


async def test_every_service_says_that_it_serves(here):
    health = health_pb2_grpc.HealthStub(here.channel)
    for name in ["", *(service.full_name for service in SERVICES)]:
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_lists_every_service_and_its_file(here):
    stub = reflection_pb2_grpc.ServerReflectionStub(here.channel)
    request = reflection_pb2.ServerReflectionRequest
    names = [service.full_name for service in SERVICES]
    asked = [request(list_services=""), *(request(file_containing_symbol=name) for name in names)]
    answers = [answer async for answer in stub.ServerReflectionInfo(iter(asked))]
    assert set(names) <= {service.name for service in answers[0].list_services_response.service}
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in answers[1:])


async def test_every_method_of_the_contract_is_served(here):
    for method in public_methods():
        call = here.channel.unary_stream if method.streams else here.channel.unary_unary
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # noqa: PT012 - reading a stream is part of the call
            answer = call(f"/{method.full_name}")(b"\xff")
            await (answer.read() if method.streams else answer)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_the_request_id_comes_back(here):
    call = here.steps.ListSteps(ListStepsRequest(), metadata=[("x-request-id", "mine")])
    assert dict(await call.trailing_metadata())["x-request-id"] == "mine"
    job = await here.submit((await here.upload()).asset_id)
    watch = here.jobs.WatchJob(WatchJobRequest(job_id=job.job_id), metadata=[("x-request-id", "mine")])
    assert dict(await watch.initial_metadata())["x-request-id"] == "mine"  # before the first event
    other = here.jobs.WatchJob(WatchJobRequest(job_id=job.job_id))
    assert len(dict(await other.initial_metadata())["x-request-id"]) == 26
    for each in (watch, other):
        each.cancel()


async def test_a_request_that_is_too_large_is_refused(here):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await here.jobs.CreateJob(CreateJobRequest(idempotency_key="x" * (2 << 20)))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_gateway_that_cannot_have_its_port_stops_what_it_started(here):
    taken = Address("127.0.0.1", here.gateway.rpc.port)
    anywhere = Address("127.0.0.1", 0)
    other = Gateway(database=here.database, bus=here.bus, store=here.store, grpc=taken, rest=anywhere)
    with pytest.raises(LocalError, match="cannot listen") as caught:
        await other.start()
    assert caught.value.code == ErrorCode.CONFIG_INVALID
    with pytest.raises(grpc.aio.AioRpcError) as still_served:
        await here.jobs.GetJob(GetJobRequest(job_id="x"))
    assert still_served.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_stopping_twice_or_before_starting_does_no_harm(here):
    await here.gateway.stop()
    await here.gateway.stop()
    await RpcServer(None, "127.0.0.1:0").stop(0)
