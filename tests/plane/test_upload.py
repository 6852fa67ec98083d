"""plane.upload: forms go on to the provider while they come, at the pace of the slower end."""

from pathlib import Path
from typing import Any

import pytest

from plane.overload import Gauge
from tests.plane.conftest import Starter
from tests.plane.rig import KEY, CallerEnd, Gateway, Peer, answer, consumer

HEAD = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--b\r\n'
SENT = HEAD.replace(b"\r\nm\r\n", b"\r\nwhisper-1\r\n")
FILE = b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n'
SOUND = b"\x00\xff" * 5000
END = b"\r\n--b--\r\n"
PATH = "/v1/audio/transcriptions"


def config(**model: Any) -> dict[str, Any]:
    return {
        "providers": {"p": {"dialect": "openai", "base_url": "http://p.test:9001/v1"}},
        "models": {"m": {"targets": [{"provider": "p", "model": "whisper-1"}], **model}},
        "consumers": {"c": consumer()},
    }


@pytest.fixture
def gateway(start: Starter) -> Gateway:
    return start(config())


def begin(gateway: Gateway, framing: bytes, path: str = PATH) -> CallerEnd:
    caller = gateway.caller()
    caller.say(
        b"POST %b HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %b\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n%b\r\n\r\n" % (path.encode(), KEY.encode(), framing)
    )
    return caller


def length(*parts: bytes) -> bytes:
    return b"Content-Length: %d" % sum(map(len, parts))


def body_of(sent: bytes) -> bytes:
    return sent.partition(b"\r\n\r\n")[2]


def test_parts_go_on_as_they_come_once_the_model_is_known(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    caller = begin(gateway, length(HEAD, FILE, SOUND, END))
    caller.say(HEAD[:-3])
    assert peer.take() == b""
    caller.say(HEAD[-3:] + FILE)
    sent = peer.take()
    assert sent.startswith(b"POST /v1/audio/transcriptions HTTP/1.1\r\n")
    assert b"content-type: multipart/form-data; boundary=b\r\n" in sent
    assert sent.count(b"content-type:") == 1
    assert b"\r\ncontent-length: %d\r\n" % len(SENT + FILE + SOUND + END) in sent
    assert body_of(sent) == SENT + FILE
    caller.say(SOUND)
    assert peer.take() == SOUND
    assert gateway.gauge.held == len(HEAD + FILE)
    caller.say(END)
    assert peer.take() == END
    peer.say(answer(b'{"text":"hello"}'))
    assert caller.take().endswith(b'{"text":"hello"}')
    (event,) = gateway.events()
    assert (event.model, event.target, event.bytes_in) == ("m", "p/whisper-1", len(HEAD + FILE + SOUND + END))
    assert gateway.is_at_rest()


def test_the_connections_of_both_sides_are_kept_after_a_form(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    caller = begin(gateway, length(HEAD, FILE, END))
    for part in (HEAD, FILE, END):
        caller.say(part)
    peer.say(answer(b"{}"))
    assert peer.is_open
    caller.take()
    caller.chat()
    assert b"POST /v1/chat/completions" in peer.take()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_a_form_of_unknown_length_goes_on_in_chunks(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    caller = begin(gateway, b"Transfer-Encoding: chunked")
    caller.say(chunk(HEAD))
    sent = peer.take()
    assert b"transfer-encoding: chunked\r\n" in sent
    assert b"content-length" not in sent
    assert body_of(sent) == chunk(SENT)
    caller.say(chunk(FILE) + chunk(SOUND))
    assert peer.take() == chunk(FILE + SOUND)
    caller.say(chunk(END) + b"0\r\n\r\n")
    assert peer.take() == chunk(END) + b"0\r\n\r\n"
    peer.say(answer(b"{}"))
    assert caller.take().startswith(b"HTTP/1.1 200 ")
    assert gateway.is_at_rest()


def test_a_form_that_names_its_model_last_is_held_until_then(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    parts = (b"--b\r\n" + FILE, SOUND + b"\r\n", HEAD[:-7], END)
    caller = begin(gateway, length(*parts))
    for part in parts[:-1]:
        caller.say(part)
        assert peer.take() == b""
    caller.say(parts[-1])
    sent = peer.take()
    assert body_of(sent) == b"".join(parts).replace(b"\r\nm\r\n", b"\r\nwhisper-1\r\n")
    assert b"\r\ncontent-length: %d\r\n" % len(body_of(sent)) in sent


def test_a_provider_that_takes_slowly_makes_the_caller_wait(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    caller = begin(gateway, length(HEAD, FILE, SOUND, END))
    caller.say(HEAD + FILE)
    peer.connection.pause_writing()
    caller.say(SOUND)
    assert caller.transport.paused
    assert caller.connection.due == 0
    peer.connection.resume_writing()
    assert not caller.transport.paused
    assert caller.connection.due > 0
    caller.say(END)
    peer.say(answer(b"{}"))
    assert caller.take().startswith(b"HTTP/1.1 200 ")


def test_the_caller_is_not_read_on_before_there_is_a_connection(gateway: Gateway) -> None:
    caller = begin(gateway, length(HEAD, FILE, END))
    caller.say(HEAD)
    (dial,) = gateway.upstreams[9001].dials
    assert caller.transport.paused
    peer = dial.succeed()
    assert not caller.transport.paused
    caller.say(FILE + END)
    assert body_of(peer.take()) == SENT + FILE + END


def test_an_answer_that_comes_early_ends_the_call_and_both_connections(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    caller = begin(gateway, length(HEAD, FILE, SOUND, END))
    caller.say(HEAD + FILE)
    peer.say(answer(b'{"error":{}}').replace(b"200 OK", b"400 No"))
    said = caller.take()
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close\r\n" in said
    assert not peer.is_open
    assert gateway.is_at_rest()


def fail_by_reset(peer: Peer) -> None:
    peer.leave()


def fail_by_status(peer: Peer) -> None:
    peer.say(answer(b"{}").replace(b"200 OK", b"500 Oh"))


@pytest.mark.parametrize("fail", [fail_by_reset, fail_by_status])
def test_what_was_sent_on_is_not_sent_again(fail: Any, start: Starter) -> None:
    gateway = start(config(retries={"max": 3, "on": ["connect", "reset"]}))
    peer, other = gateway.upstreams[9001].connect(), gateway.upstreams[9001].connect()
    caller = begin(gateway, length(HEAD, FILE, END))
    caller.say(HEAD)
    caller.say(FILE)
    fail(other if other.take() else peer)
    assert caller.take().startswith(b"HTTP/1.1 50")
    (event,) = gateway.events()
    assert event.attempts == 1


def test_a_caller_that_leaves_amid_a_form_ends_the_call(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    caller = begin(gateway, length(HEAD, FILE, END))
    caller.say(HEAD + FILE)
    caller.leave()
    assert not peer.is_open
    (event,) = gateway.events()
    assert event.error == "caller_gone"
    assert gateway.is_at_rest()


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        (b"application/json", b'{"model":"m"}', b"invalid_request"),
        (b"multipart/form-data; boundary=b", b"{}", b"invalid_form"),
        (b"multipart/form-data; boundary=b", b"--b\r\n" + FILE + SOUND + END, b"invalid_form"),
    ],
)
def test_what_is_no_form_or_names_no_model_is_refused(
    content_type: bytes, body: bytes, code: bytes, gateway: Gateway
) -> None:
    caller = gateway.caller()
    caller.ask(PATH, body, fields=b"Content-Type: %b\r\n" % content_type)
    said = caller.take()
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"x-headgate-error: %b\r\n" % code in said
    assert gateway.is_at_rest()


def test_a_form_of_another_model_is_refused_before_its_file_has_come(gateway: Gateway) -> None:
    caller = begin(gateway, length(HEAD, FILE, SOUND, END))
    caller.say(HEAD.replace(b"\r\nm\r\n", b"\r\nx\r\n"))
    assert caller.take().startswith(b"HTTP/1.1 404 ")


def test_a_form_larger_than_the_model_takes_is_refused(start: Starter) -> None:
    gateway = start(config(max_body="1KiB"))
    gateway.upstreams[9001].connect()
    caller = begin(gateway, b"Transfer-Encoding: chunked")
    caller.say(chunk(HEAD + FILE))
    caller.say(chunk(SOUND))
    assert caller.take().startswith(b"HTTP/1.1 413 ")
    assert gateway.is_at_rest()


def test_sound_is_relayed_as_it_comes(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    caller = gateway.caller()
    caller.ask("/v1/audio/speech", b'{"model":"m","input":"hello","voice":"alloy"}')
    assert body_of(peer.take()) == b'{"model":"whisper-1","input":"hello","voice":"alloy"}'
    peer.say(b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(SOUND))
    said = caller.take()
    assert b"content-type: audio/mpeg\r\n" in said
    assert SOUND in said
    peer.say(b"0\r\n\r\n")
    assert caller.take().endswith(b"0\r\n\r\n")


def test_moderations_without_a_model_ask_for_the_usual_one(start: Starter) -> None:
    named = config()
    named["models"]["omni-moderation-latest"] = {"targets": [{"provider": "p", "model": "guard"}]}
    gateway = start(named)
    peer = gateway.upstreams[9001].connect()
    gateway.caller().ask("/v1/moderations", b'{"input":"x"}')
    assert body_of(peer.take()) == b'{"input":"x","model":"guard"}'


def test_a_stream_of_pictures_is_not_asked_for_its_usage(gateway: Gateway) -> None:
    peer = gateway.upstreams[9001].connect()
    gateway.caller().ask("/v1/images/generations", b'{"model":"m","prompt":"x","stream":true}')
    assert body_of(peer.take()) == b'{"model":"whisper-1","prompt":"x","stream":true}'


KEPT = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\n'


@pytest.fixture
def keeping(start: Starter, tmp_path: Path) -> Gateway:
    """Return a gateway whose provider keeps files of up to 64 KiB, and takes bodies of 1 KiB elsewhere."""
    (tmp_path / "key").write_bytes(b"k" * 32)
    (tmp_path / "key").chmod(0o600)
    made = config(max_body="1KiB")
    made["providers"]["p"] |= {"files": True, "max_file": "64KiB"}
    return start(made)


def test_a_file_to_be_kept_goes_on_from_its_first_byte(keeping: Gateway) -> None:
    peer = keeping.upstreams[9001].connect()
    caller = begin(keeping, length(KEPT, FILE, SOUND, END), "/v1/files")
    sent = peer.take()
    assert sent.startswith(b"POST /v1/files HTTP/1.1\r\n")
    assert sent.count(b"content-type:") == 1
    assert b"content-type: multipart/form-data; boundary=b\r\n" in sent
    assert b"\r\ncontent-length: %d\r\n" % len(KEPT + FILE + SOUND + END) in sent
    for part in (KEPT, FILE, SOUND, END):
        caller.say(part)
        assert peer.take() == part
        assert keeping.gauge.held == 0
    peer.say(answer(b'{"id":"file-1","object":"file"}'))
    assert b'{"id":"file-hgid_' in caller.take()
    (event,) = keeping.events()
    assert (event.route, event.status, event.bytes_in) == ("files.upload", 200, len(KEPT + FILE + SOUND + END))
    assert keeping.is_at_rest()


def test_a_file_of_unknown_length_goes_on_in_chunks(keeping: Gateway) -> None:
    peer = keeping.upstreams[9001].connect()
    caller = begin(keeping, b"Transfer-Encoding: chunked", "/v1/files")
    sent = peer.take()
    assert b"transfer-encoding: chunked\r\n\r\n" in sent
    assert b"content-length" not in sent
    caller.say(chunk(KEPT) + chunk(FILE))
    assert peer.take() == chunk(KEPT + FILE)
    caller.say(chunk(END) + b"0\r\n\r\n")
    assert peer.take() == chunk(END) + b"0\r\n\r\n"


def test_a_file_that_has_come_whole_is_sent_with_its_head(keeping: Gateway) -> None:
    peer = keeping.upstreams[9001].connect()
    caller = keeping.caller()
    caller.ask("/v1/files", KEPT + FILE + END, fields=b"Content-Type: multipart/form-data; boundary=b\r\n")
    assert body_of(peer.take()) == KEPT + FILE + END
    peer.say(answer(b'{"id":"file-1"}'))
    caller.take()
    assert peer.is_open


def test_a_provider_that_keeps_a_file_slowly_makes_the_caller_wait(keeping: Gateway) -> None:
    peer = keeping.upstreams[9001].connect()
    caller = begin(keeping, length(KEPT, FILE, SOUND, END), "/v1/files")
    peer.connection.pause_writing()
    caller.say(KEPT + FILE)
    assert caller.transport.paused
    peer.connection.resume_writing()
    assert not caller.transport.paused


@pytest.mark.parametrize(("size", "status"), [(64 * 1024, b""), (64 * 1024 + 1, b"HTTP/1.1 413 ")])
def test_a_file_may_be_as_large_as_its_keeper_s_max_file(size: int, status: bytes, keeping: Gateway) -> None:
    keeping.upstreams[9001].connect()
    caller = begin(keeping, b"Content-Length: %d" % size, "/v1/files")
    assert caller.take()[:13] == status


def test_a_file_larger_than_all_that_a_worker_may_hold_goes_on(start: Starter, tmp_path: Path) -> None:
    made = config()
    made["providers"]["p"]["files"] = True
    gateway = start(made, Gauge(100, 100, 64 * 1024))
    peer = gateway.upstreams[9001].connect()
    begin(gateway, b"Content-Length: 1000000", "/v1/files")
    assert peer.take().startswith(b"POST /v1/files ")


def test_a_file_of_which_a_part_was_sent_on_is_not_sent_again(keeping: Gateway) -> None:
    peer, other = keeping.upstreams[9001].connect(), keeping.upstreams[9001].connect()
    caller = begin(keeping, length(KEPT, FILE, END), "/v1/files")
    caller.say(KEPT)
    (other if other.take() else peer).leave()
    assert caller.take().startswith(b"HTTP/1.1 502 ")
    assert not peer.take()


def test_what_is_to_be_kept_and_is_no_form_is_refused(keeping: Gateway) -> None:
    caller = keeping.caller()
    caller.ask("/v1/files", b'{"purpose":"batch"}', fields=b"Content-Type: application/json\r\n")
    assert caller.take().startswith(b"HTTP/1.1 400 ")
