"""What every object store guarantees: run on the fake and on a real S3 endpoint."""

from __future__ import annotations

import filecmp
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from framewire.errors import ErrorCode, NotFound, Unavailable
from framewire.storage import ObjectStore, PresignsUrls, SignedRequest
from framewire.storage.s3 import S3ObjectStore, S3Settings, content_disposition
from framewire.testing.storage import MemoryObjectStore

AnyStore = MemoryObjectStore | S3ObjectStore
Http = Callable[[SignedRequest, bytes], Awaitable[bytes]]


@pytest.fixture(params=["memory", "s3"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ObjectStore]:
    if request.param == "memory":
        opened: ObjectStore = MemoryObjectStore()
    else:
        server = request.getfixturevalue("s3_server")
        opened = S3ObjectStore(server.settings(f"test-{secrets.token_hex(6)}"))
        await opened.ensure_bucket()
    yield opened
    await opened.close()


@pytest.fixture
def http(store: ObjectStore) -> Http:
    """What a client does with a signed request; raises PermissionError when it is refused."""
    if isinstance(store, MemoryObjectStore):
        return store.request

    async def request(signed: SignedRequest, body: bytes = b"") -> bytes:
        async with (
            aiohttp.ClientSession() as session,
            session.request(signed.method, signed.url, headers=signed.headers, data=body or None) as answer,
        ):
            if answer.status == 403:
                raise PermissionError(signed.url)
            answer.raise_for_status()
            return await answer.read()

    return request


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """3 MB of noise: more than one piece."""
    path = tmp_path / "noise.bin"
    path.write_bytes(secrets.token_bytes(3_000_000))
    return path


async def test_bytes_come_back_as_they_were_put(store: ObjectStore, file: Path, tmp_path: Path) -> None:
    await store.put_file("w/uploads/a", file)
    await store.get_file("w/uploads/a", tmp_path / "back.bin")
    assert filecmp.cmp(tmp_path / "back.bin", file, shallow=False)
    pieces = [piece async for piece in store.read("w/uploads/a")]
    (tmp_path / "read.bin").write_bytes(b"".join(pieces))
    assert filecmp.cmp(tmp_path / "read.bin", file, shallow=False)
    assert len(pieces) > 1


async def test_putting_again_replaces(store: ObjectStore, tmp_path: Path) -> None:
    for text in ("first, longer", "second"):
        (tmp_path / "text").write_text(text)
        await store.put_file("k", tmp_path / "text")
    assert b"".join([piece async for piece in store.read("k")]) == b"second"


async def test_head_tells_the_size_and_none_for_what_is_not_there(store: ObjectStore, file: Path) -> None:
    await store.put_file("k", file)
    info = await store.head("k")
    assert info is not None
    assert info.size == 3_000_000
    assert await store.head("missing") is None


async def test_reading_what_is_not_there_is_a_typed_error_and_leaves_no_file(
    store: ObjectStore, tmp_path: Path
) -> None:
    with pytest.raises(NotFound) as missing:
        await store.get_file("missing", tmp_path / "nothing")
    assert missing.value.code is ErrorCode.OBJECT_NOT_FOUND
    assert not any(tmp_path.iterdir())
    with pytest.raises(NotFound):
        await anext(aiter(store.read("missing")))


async def test_list_gives_what_lies_below_a_prefix_in_order(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12")
    for key in ("w/b/2", "w/a/1", "v/a/1"):
        await store.put_file(key, tmp_path / "x")
    assert [(each.key, each.size) async for each in store.list("w/")] == [("w/a/1", 2), ("w/b/2", 2)]


async def test_a_large_file_is_copied_whole(store: ObjectStore, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(secrets.token_bytes(20_000_000))  # more than a part of a multipart transfer
    await store.put_file("w/from", large)
    await store.copy("w/from", "w/to")
    await store.get_file("w/to", tmp_path / "copy.bin")
    assert filecmp.cmp(large, tmp_path / "copy.bin", shallow=False)


async def test_a_copy_stays_what_it_was_when_the_original_changes(
    store: ObjectStore, file: Path, tmp_path: Path
) -> None:
    await store.put_file("w/from", file)
    await store.copy("w/from", "w/to")
    (tmp_path / "other").write_bytes(b"other")
    await store.put_file("w/from", tmp_path / "other")
    await store.get_file("w/to", tmp_path / "back")
    assert filecmp.cmp(tmp_path / "back", file, shallow=False)
    with pytest.raises(NotFound):
        await store.copy("w/missing", "w/to")


async def test_deleting_twice_is_not_an_error(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12")
    await store.put_file("k", tmp_path / "x")
    await store.delete("k")
    await store.delete("k")
    assert await store.head("k") is None


async def test_everything_below_a_prefix_is_deleted_and_nothing_beside_it(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12")
    for key in ("w/job_1/1/a", "w/job_1/1/b", "w/job_1/2/a", "w/job_11/1/a"):
        await store.put_file(key, tmp_path / "x")
    await store.delete_below("w/job_1/")
    await store.delete_below("w/job_1/")
    assert [each.key async for each in store.list("w/")] == ["w/job_11/1/a"]


@pytest.mark.parametrize("prefix", ["", "/", "w/job_1"])
async def test_a_prefix_that_may_name_more_than_was_meant_is_refused(store: ObjectStore, prefix: str) -> None:
    with pytest.raises(ValueError, match="no prefix"):
        await store.delete_below(prefix)


async def test_a_signed_put_and_get_need_no_other_credential(store: ObjectStore, http: Http) -> None:
    assert isinstance(store, PresignsUrls)
    await http(await store.presign_put("w/up", ttl=60, content_type="video/mp4"), b"bytes")
    info = await store.head("w/up")
    assert info is not None
    assert info.size == 5
    assert await http(await store.presign_get("w/up", ttl=60, filename="höliday.mp4"), b"") == b"bytes"


async def test_a_signed_request_is_good_for_nothing_else(store: ObjectStore, http: Http) -> None:
    assert isinstance(store, PresignsUrls)
    signed = await store.presign_put("w/up", ttl=60, content_type="video/mp4")
    forged = SignedRequest(
        method="PUT", url=signed.url.replace("w/up", "w/else"), expires=signed.expires, headers=signed.headers
    )
    with pytest.raises(PermissionError):
        await http(forged, b"bytes")
    assert await store.head("w/else") is None


MB = 1 << 20
_UNKNOWN = "application/octet-stream"


async def test_parts_sent_in_any_order_become_one_object_and_are_seen_by_nobody_before(store: AnyStore) -> None:
    upload = await store.begin_parts("w/up")
    noise = secrets.token_bytes(10 * MB + 3)
    for number in (3, 1, 2):
        await store.put_part("w/up", upload, number, bytearray(noise[(number - 1) * 5 * MB : number * 5 * MB]))
    assert await store.head("w/up") is None
    assert [info.key async for info in store.list("w/")] == []
    parts = await store.parts("w/up", upload)
    assert [(part.number, part.size) for part in parts] == [(1, 5 * MB), (2, 5 * MB), (3, 3)]
    await store.join_parts("w/up", upload, parts)
    assert b"".join([piece async for piece in store.read("w/up")]) == noise


async def test_the_same_part_may_be_sent_again(store: AnyStore) -> None:
    upload = await store.begin_parts("w/up")
    for _ in range(2):
        await store.put_part("w/up", upload, 1, b"the same")
    (part,) = await store.parts("w/up", upload)
    await store.join_parts("w/up", upload, [part])
    assert b"".join([piece async for piece in store.read("w/up")]) == b"the same"


async def test_a_signed_part_takes_a_body_of_the_promised_length_and_no_other(store: AnyStore, http: Http) -> None:
    upload = await store.begin_parts("w/up")
    signed = await store.presign_part("w/up", upload, 1, size=5, ttl=60)
    with pytest.raises(PermissionError):
        await http(signed, b"longer")
    assert list(await store.parts("w/up", upload)) == []
    await http(signed, b"bytes")
    assert [part.size for part in await store.parts("w/up", upload)] == [5]


async def test_an_aborted_upload_leaves_nothing_and_aborting_twice_is_not_an_error(store: AnyStore) -> None:
    upload = await store.begin_parts("w/up")
    await store.put_part("w/up", upload, 1, b"bytes")
    assert [(each.key, each.upload_id) async for each in store.unfinished_parts("w/")] == [("w/up", upload)]
    await store.abort_parts("w/up", upload)
    await store.abort_parts("w/up", upload)
    assert [each async for each in store.unfinished_parts("w/")] == []
    for attempt in (store.parts("w/up", upload), store.put_part("w/up", upload, 2, b"x")):
        with pytest.raises(NotFound):
            await attempt


async def test_an_upload_that_was_joined_is_over(store: AnyStore) -> None:
    upload = await store.begin_parts("w/up")
    await store.put_part("w/up", upload, 1, b"bytes")
    await store.join_parts("w/up", upload, await store.parts("w/up", upload))
    with pytest.raises(NotFound):
        await store.parts("w/up", upload)
    await store.abort_parts("w/up", upload)
    info = await store.head("w/up")
    assert info is not None
    assert info.size == 5


async def test_small_objects_come_from_memory(store: AnyStore) -> None:
    for data in (b"first", bytearray(b"second")):
        await store.put_bytes("w/tail", data)
    assert b"".join([piece async for piece in store.read("w/tail")]) == b"second"


async def test_a_download_may_be_read_from_the_middle_under_a_safe_name_and_as_what_it_is(
    s3_store: S3ObjectStore,
) -> None:
    await s3_store.put_bytes("w/x", b"0123456789")
    for name, kind in (("film.mp4", "video/mp4"), ("page.html", "application/octet-stream"), ("a.svg", _UNKNOWN)):
        signed = await s3_store.presign_get("w/x", ttl=60, filename=name)
        async with (
            aiohttp.ClientSession() as session,
            session.get(signed.url, headers={"Range": "bytes=3-5"}) as answer,
        ):
            assert answer.status in {200, 206}  # rclone says 200, with the Content-Range of a 206
            assert await answer.read() == b"345"
            assert answer.headers["Content-Range"] == "bytes 3-5/10"
            assert answer.headers["Content-Type"] == kind
            assert answer.headers["Content-Disposition"].startswith(f'attachment; filename="{name}"')


async def test_a_store_that_does_not_answer_is_unavailable_and_retryable(tmp_path: Path) -> None:
    settings = S3Settings(endpoint="http://127.0.0.1:9", bucket="b", access_key="a" * 8, secret_key="s" * 8)
    store = S3ObjectStore(settings)
    with pytest.raises(Unavailable) as refused:
        await store.head("k")
    assert (refused.value.code, refused.value.retryable) == (ErrorCode.STORE_UNAVAILABLE, True)
    await store.close()


def test_content_disposition_cannot_be_broken_out_of() -> None:
    assert content_disposition('a"b\r\nSet-Cookie: x.mp4') == (
        "attachment; filename=\"a_b__Set-Cookie: x.mp4\"; filename*=UTF-8''a%22b%0D%0ASet-Cookie%3A%20x.mp4"
    )
