"""What is too much is refused at once, with a time to come back, and nothing else suffers."""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from framewire.errors import ErrorCode, LocalError, TooMuch
from framewire.v1.job_pb2 import GetJobRequest, WatchJobRequest
from framewire.v1.step_pb2 import ListStepsRequest
from gateway.handlers.steps import StepHandlers
from gateway.limits import Buckets, Gate, LimitSettings
from gateway.proxies import Proxies
from gateway.rest.settings import HttpSettings
from gateway.rpc.calls import address_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_what_it_has_and_fills_evenly():
    clock = Clock()
    buckets = Buckets("address", 4, 2, clock)
    assert [buckets.take("a").left for _ in range(4)] == [3, 2, 1, 0]
    with pytest.raises(TooMuch) as caught:
        buckets.take("a")
    assert (caught.value.code, caught.value.retry_after) == (ErrorCode.RATE_LIMITED, 0.5)
    assert buckets.take("b").left == 3
    clock.now = 0.5
    assert buckets.take("a").left == 0
    clock.now = 100.0
    assert buckets.take("a").headers == {"RateLimit-Policy": '"address";q=4;w=2', "RateLimit": '"address";r=3;t=1'}


def test_uploads_beyond_the_cap_are_refused_and_a_place_comes_back():
    gate = Gate(LimitSettings(senders=1))
    with gate.sender("a"), pytest.raises(TooMuch) as caught, gate.sender("b"):
        pass
    assert caught.value.code == ErrorCode.OVERLOADED
    with gate.sender("b"):
        pass


def test_an_upload_takes_the_place_of_a_stream_too():
    gate = Gate(LimitSettings(streams=1))
    with gate.sender("a"), pytest.raises(TooMuch):
        gate.open_stream("b")
    gate.open_stream("b")


def test_a_place_for_a_stream_is_given_back_once():
    gate = Gate(LimitSettings(streams_per_address=1, streams=2))
    leave = gate.open_stream("a")
    with pytest.raises(TooMuch) as caught:
        gate.open_stream("a")
    assert caught.value.code == ErrorCode.RATE_LIMITED
    gate.open_stream("b")
    with pytest.raises(TooMuch) as caught:
        gate.open_stream("c")
    assert caught.value.code == ErrorCode.OVERLOADED
    leave()
    leave()
    gate.open_stream("a")
    with pytest.raises(TooMuch):
        gate.open_stream("c")


@pytest.mark.parametrize(
    ("peer", "address"),
    [("ipv4:127.0.0.1:5", "127.0.0.1"), ("ipv6:%5B::1%5D:5", "::1"), ("ipv6:[::1]:5", "::1"), ("unix:/x", "")],
)
def test_the_address_of_a_grpc_peer(peer, address):
    assert address_of(peer) == address


async def test_a_caller_who_asks_too_often_is_told_when_to_come_back_on_every_wire(with_settings):
    async with with_settings(limits=LimitSettings(calls=3, window=60)) as here:
        for left in (2, 1, 0):
            async with here.http.get(here.url("/v1/steps")) as answer:
                assert (answer.status, answer.headers["RateLimit"].split(";")[1]) == (200, f"r={left}")
        async with here.http.get(here.url("/v1/steps")) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "20")
            assert (await answer.json())["details"][0]["reason"] == "RATE_LIMITED"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await here.steps.ListSteps(ListStepsRequest())
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
        retry = error_details_pb2.RetryInfo()
        assert any(each.Unpack(retry) for each in status_pb2.Status.FromString(details).details)
        assert 15 < retry.retry_delay.seconds < 21
        async with here.http.get(here.url("/healthz")) as answer:
            assert answer.status == 200


async def test_streams_beyond_the_cap_are_refused_and_a_place_comes_back(with_settings):
    async with with_settings(limits=LimitSettings(streams_per_address=1)) as here:
        job = await here.submit((await here.upload()).asset_id)
        watch = here.url(f"/v1/jobs/{job.job_id}:watch")
        first = await here.http.get(watch)
        await first.content.readline()
        async with here.http.get(watch) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "5")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await here.jobs.WatchJob(WatchJobRequest(job_id=job.job_id)).read()
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        first.close()
        async with asyncio.timeout(5):
            while (again := await here.http.get(watch)).status == 429:
                again.release()
        assert again.status == 200
        again.close()


async def test_overload_is_answered_at_once_and_passes(with_settings, monkeypatch):
    release, entered = asyncio.Event(), asyncio.Semaphore(0)
    listing = StepHandlers.list_steps

    async def slow(self, call, request):
        entered.release()
        await release.wait()
        return await listing(self, call, request)

    monkeypatch.setattr(StepHandlers, "list_steps", slow)
    async with with_settings(limits=LimitSettings(calls_at_once=4)) as here, asyncio.timeout(20):
        running = [asyncio.ensure_future(here.steps.ListSteps(ListStepsRequest()).code()) for _ in range(4)]
        for _ in running:
            await entered.acquire()
        refused = [await here.http.get(here.url("/v1/steps")) for _ in range(20)]
        assert {(each.status, each.headers["Retry-After"]) for each in refused} == {(503, "1")}
        assert (await refused[0].json())["details"][0]["reason"] == "OVERLOADED"
        release.set()
        assert await asyncio.gather(*running) == [grpc.StatusCode.OK] * 4
        async with here.http.get(here.url("/v1/steps")) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("wire", ["grpc", "rest"])
async def test_a_caller_s_deadline_is_kept(with_settings, monkeypatch, wire):
    async def never(self, call, request):
        await asyncio.Event().wait()

    monkeypatch.setattr(StepHandlers, "list_steps", never)
    async with with_settings() as here, asyncio.timeout(10):
        if wire == "grpc":
            assert await here.steps.ListSteps(ListStepsRequest(), timeout=0.05).code() == (
                grpc.StatusCode.DEADLINE_EXCEEDED
            )
            return
        async with here.http.get(here.url("/v1/steps"), headers={"grpc-timeout": "50m"}) as answer:
            assert answer.status == 504
            assert (await answer.json())["details"][0]["reason"] == "DEADLINE_EXCEEDED"


async def test_a_stream_s_deadline_is_kept(here):
    job = await here.submit((await here.upload()).asset_id)
    headers = {"grpc-timeout": "50m"}
    async with asyncio.timeout(10), here.http.get(here.url(f"/v1/jobs/{job.job_id}:watch"), headers=headers) as answer:
        assert "DEADLINE_EXCEEDED" in (await answer.text()).splitlines()[-1]


async def test_a_timeout_that_is_none_is_refused(here):
    async with here.http.get(here.url("/v1/steps"), headers={"grpc-timeout": "soon"}) as answer:
        assert answer.status == 400


@pytest.mark.parametrize("sent", [b"", b"GET /v1/steps HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_head_that_does_not_come_is_not_waited_for_forever(with_settings, sent):
    async with with_settings(http=HttpSettings(idle_timeout=0.2)) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.rest.port)
        writer.write(sent)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()


async def test_connections_beyond_the_cap_are_told_and_cut(with_settings):
    async with with_settings(http=HttpSettings(connections=2)) as here:
        held = [await asyncio.open_connection("127.0.0.1", here.gateway.rest.port) for _ in range(2)]
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.rest.port)
            assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
            writer.close()
            held[0][1].close()
            while True:
                reader, writer = await asyncio.open_connection("127.0.0.1", here.gateway.rest.port)
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                line = await reader.readline()
                writer.close()
                if line.startswith(b"HTTP/1.1 200 "):
                    break
        held[1][1].close()


async def test_a_flood_is_refused_and_who_comes_after_it_is_served(with_settings):
    async with with_settings(limits=LimitSettings(calls=50, window=1)) as here:
        job_id = f"job_{'0' * 26}"

        async def ask() -> grpc.StatusCode:
            return await here.jobs.GetJob(GetJobRequest(job_id=job_id)).code()

        codes = await asyncio.gather(*(ask() for _ in range(400)))
        assert set(codes) == {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED}
        async with asyncio.timeout(10):
            while await ask() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                pass  # the bucket fills with time; nothing signals it


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("127.0.0.1", {"X-Forwarded-For": "198.51.100.7"}, "198.51.100.7"),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9, 198.51.100.7, 10.1.2.3"}, "198.51.100.7"),  # the first is a lie
        ("127.0.0.1", {"X-Forwarded-For": "198.51.100.7:4711"}, "198.51.100.7"),
        ("127.0.0.1", {"Forwarded": 'for="[2001:db8::7]:80";proto=https, for=10.1.2.3'}, "2001:db8::7"),
        ("127.0.0.1", {"Forwarded": "For=198.51.100.7;by=10.0.0.1"}, "198.51.100.7"),
        ("127.0.0.1", {"Forwarded": "for=198.51.100.7, for=_hidden"}, "127.0.0.1"),
        ("127.0.0.1", {"X-Forwarded-For": "10.9.9.9"}, "10.9.9.9"),  # a proxy that calls for itself
        ("127.0.0.1", {}, "127.0.0.1"),
        # the proxy wrote one header and handed the client's own other one on
        ("127.0.0.1", {"Forwarded": "for=203.0.113.9", "X-Forwarded-For": "198.51.100.7"}, "127.0.0.1"),
        ("127.0.0.1", {"Forwarded": "by=203.0.113.9", "X-Forwarded-For": "198.51.100.7"}, "127.0.0.1"),
        (
            "127.0.0.1",
            {"Forwarded": "for=198.51.100.7", "X-Forwarded-For": "203.0.113.9, 198.51.100.7"},
            "198.51.100.7",
        ),
        ("203.0.113.9", {"X-Forwarded-For": "198.51.100.7"}, "203.0.113.9"),  # nobody who is trusted
        ("::ffff:10.0.0.1", {"X-Forwarded-For": "198.51.100.7"}, "198.51.100.7"),
    ],
)
def test_only_trusted_proxies_are_believed_about_an_address(peer, headers, client):
    proxies = Proxies.parse(["127.0.0.1", "10.0.0.0/8"], "FRAMEWIRE_TRUSTED_PROXIES")
    assert proxies.client(peer, {name.lower(): value for name, value in headers.items()}) == client
    assert Proxies().client(peer, {name.lower(): value for name, value in headers.items()}) == peer


async def test_clients_behind_a_trusted_proxy_are_limited_one_by_one_on_both_ports(with_settings):
    proxies = Proxies.parse(["127.0.0.1"], "FRAMEWIRE_TRUSTED_PROXIES")
    async with with_settings(limits=LimitSettings(calls=2, window=3600, proxies=proxies)) as here:
        for client in ("198.51.100.1", "198.51.100.2"):
            headers = [
                ("X-Forwarded-For", f"203.0.113.9, {client}"),
                ("X-Forwarded-For", "127.0.0.1"),
            ]  # of two proxies
            async with here.http.get(here.url("/v1/steps"), headers=headers) as answer:
                assert answer.status == 200
            metadata = [("x-forwarded-for", client)]
            await here.steps.ListSteps(ListStepsRequest(), metadata=metadata)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await here.steps.ListSteps(ListStepsRequest(), metadata=metadata)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            async with here.http.get(here.url("/v1/steps"), headers=headers) as answer:
                assert answer.status == 429


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:0:0:2", True),  # of one network
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_who_has_a_network_of_ipv6_addresses_counts_once(one, other, same):
    gate = Gate(LimitSettings(calls=1, window=3600))
    gate.count(gate.address(one, {}), "")
    with pytest.raises(TooMuch) if same else contextlib.nullcontext():
        gate.count(gate.address(other, {}), "")


def test_a_proxy_that_is_no_address_is_refused():
    with pytest.raises(LocalError, match="FRAMEWIRE_TRUSTED_PROXIES"):
        Proxies.parse(["proxy.example"], "FRAMEWIRE_TRUSTED_PROXIES")
