"""What hostile, broken or merely unusual callers send, byte for byte, and what they get: one row each.

Every door answers these alike.
"""

import json
from dataclasses import dataclass

from tests.e2e.harness import KEYS, chat_request, get, post

HOST = "host: gateway"
KEY = f"authorization: Bearer {KEYS['alice']}"
BODY = b'{"model":"good","messages":[{"role":"user","content":"hello"}]}'
LENGTH = f"content-length: {len(BODY)}"
CHUNKED = "transfer-encoding: chunked"
TARGET = "/v1/chat/completions"
DEEP = b'{"model":"good","a":' + b"[" * 200 + b"]" * 200 + b"}"
KIB = 1024


@dataclass(frozen=True)
class Case:
    """One request and its answer.

    statuses: the answer's status is one of them; more than one where the RFCs leave the choice.
    code: the error's code, "" where the request is served.
    closes: whether the gateway ends the connection after the answer; None where it may do either.
    fields: header fields of the answer.
    """

    name: str
    request: bytes
    statuses: tuple[int, ...]
    code: str = ""
    closes: bool | None = False
    fields: tuple[tuple[str, str], ...] = ()
    head: bool = False


def raw(line: str, *fields: str, body: bytes = b"", end: str = "\r\n") -> bytes:
    """Return a request of exactly these lines."""
    return end.join([line, *fields, "", ""]).encode("latin-1") + body


def call(*fields: str, body: bytes = BODY, line: str = f"POST {TARGET} HTTP/1.1") -> bytes:
    """Return a chat call with a Host, a key and `fields`."""
    return raw(line, HOST, KEY, "content-type: application/json", *fields, body=body)


def chunked(*chunks: bytes) -> bytes:
    """Return a chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def _broken(name: str, request: bytes, *statuses: int, code: str = "bad_request") -> Case:
    return Case(name, request, statuses or (400,), code, closes=True)


def _framing() -> list[Case]:
    size = len(BODY)
    lengths = {
        "a length that is a word": ("content-length: many",),
        "a negative length": ("content-length: -1",),
        "a length with a sign": (f"content-length: +{size}",),
        "an empty length": ("content-length:",),
        "a list of lengths": (f"content-length: {size}, {size}",),
        "a hexadecimal length": ("content-length: 0x10",),
        "a length with a space inside": ("content-length: 6 3",),
        "a length beyond 64 bits": ("content-length: 99999999999999999999",),
        "two lengths that differ": (LENGTH, "content-length: 3"),
        "two lengths that agree": (LENGTH, LENGTH),
        "length and chunked": (LENGTH, CHUNKED),
        "chunked and length": (CHUNKED, LENGTH),
        "a space before the colon": (f"content-length : {size}",),
        "chunked with a space before the colon": ("transfer-encoding : chunked",),
    }
    codings = {
        "gzip, chunked": ("transfer-encoding: gzip, chunked",),
        "chunked, gzip": ("transfer-encoding: chunked, gzip",),
        "identity": ("transfer-encoding: identity",),
        "xchunked": ("transfer-encoding: xchunked",),
        "chunked twice in one field": ("transfer-encoding: chunked, chunked",),
        "chunked twice in two fields": (CHUNKED, CHUNKED),
        "chunked after a vertical tab": ("transfer-encoding: \x0bchunked",),
        "an empty coding": ("transfer-encoding:",),
        "a quoted coding": ('transfer-encoding: "chunked"',),
    }
    chunks = {
        "a chunk size that is a word": b"zz\r\nhello\r\n0\r\n\r\n",
        "a chunk size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
        "a negative chunk size": b"-5\r\nhello\r\n0\r\n\r\n",
        "a chunk size with a sign": b"+5\r\nhello\r\n0\r\n\r\n",
        "an empty chunk size": b"\r\nhello\r\n0\r\n\r\n",
        "a chunk size beyond 64 bits": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "a chunk longer than it says": b"2\r\nhello\r\n0\r\n\r\n",
        "a chunk size that ends in LF": b"5\nhello\r\n0\r\n\r\n",
        "a chunk that ends in LF": b"5\r\nhello\n0\r\n\r\n",
        "a space before a chunk size": b" 5\r\nhello\r\n0\r\n\r\n",
    }
    return [
        *(_broken(name, call(*fields)) for name, fields in lengths.items()),
        *(_broken(name, call(*fields, body=chunked(BODY)), 400, 501, code="*") for name, fields in codings.items()),
        *(_broken(name, call(CHUNKED, body=body)) for name, body in chunks.items()),
        _broken(
            "chunked on HTTP/1.0",
            call(CHUNKED, body=chunked(BODY), line=f"POST {TARGET} HTTP/1.0"),
            400,
            501,
            code="*",
        ),
    ]


def _lines() -> list[Case]:
    path = "/v1/models"
    fields = {
        "a folded line": ("x-folded: a", " b"),
        "a field that begins with a space": (" x: y",),
        "a field without colon": ("nonsense",),
        "a field without name": (": value",),
        "a space in a field's name": ("x y: z",),
        "NUL in a value": ("x-nul: a\0b",),
        "NUL in a name": ("x\0nul: a",),
        "CR in a value": ("x-cr: a\rb: c",),
        "LF in a value": ("x-lf: a\nb: c",),
        "DEL in a name": ("x\x7f: a",),
    }
    lines = {
        "no version": f"GET {path}",
        "a word too many": f"GET {path} HTTP/1.1 now",
        "a tab": f"GET\t{path} HTTP/1.1",
        "a method in lower case": f"get {path} HTTP/1.1",
        "a method nobody knows": f"SMUGGLE {path} HTTP/1.1",
        "a protocol in lower case": f"GET {path} http/1.1",
        "another protocol": f"GET {path} ICY/1.1",
        "a version of two digits": f"GET {path} HTTP/1.10",
        "a NUL in the target": "GET /v1/\0models HTTP/1.1",
        "a space in the target": "GET /v1/ models HTTP/1.1",
        "HTTP/2 preface": "PRI * HTTP/2.0",
        "nothing but garbage": "\x16\x03\x01\x02\0\x01\0\x01\xfc",
    }
    targets = {
        "a fragment": "/v1/models#here",
        "the absolute form of another scheme": "ftp://gateway/v1/models",
        "the absolute form without a host": "http:///v1/models",
        "the absolute form with a user": "http://user@gateway/v1/models",
        "the absolute form with a bad port": "http://gateway:80a/v1/models",
        "the absolute form with a fragment": "http://gateway/v1/models#here",
        "the absolute form with two dots": "http://gateway/v1/../v1/models",
        "the absolute form with two slashes": "http://gateway//v1/models",
        "two slashes at the start": "//v1/models",
        "two slashes within": "/v1//models",
        "a dot segment": "/v1/./models",
        "two dots": "/v1/../v1/models",
        "an encoded slash": "/api/a%2Fb",
        "an encoded backslash": "/api/a%5cb",
        "an encoded dot segment": "/v1/%2e%2e/models",
        "an encoded NUL": "/api/a%00b",
        "a broken escape": "/api/a%zz",
        "a backslash": "/api/a\\b",
        "bytes beyond ASCII": "/api/\xff",
    }
    hosts = {
        "no host": (),
        "two hosts": (HOST, "host: other"),
        "the same host twice": (HOST, HOST),
        "a host with a space": ("host: a b",),
        "a host with a path": ("host: a/b",),
        "a host with a user": ("host: user@gateway",),
        "a host with a bad port": ("host: gateway:80a",),
        "a host that is a URL": ("host: http://gateway",),
        "two hosts in one field": ("host: a, b",),
    }
    return [
        *(_broken(name, raw(f"GET {path} HTTP/1.1", HOST, KEY, *lines)) for name, lines in fields.items()),
        *(_broken(name, raw(line, HOST, KEY), code="*") for name, line in lines.items()),
        *(
            _broken(f"version {version}", raw(f"GET {path} HTTP/{version}", HOST, KEY), code="*")
            for version in ("0.9", "1.2", "2.0", "3.0")
        ),
        _broken("bare LF", raw(f"GET {path} HTTP/1.1", HOST, KEY, end="\n")),
        _broken("bare CR", raw(f"GET {path} HTTP/1.1", HOST, KEY, end="\r")),
        *(
            Case(name, raw(f"GET {target} HTTP/1.1", HOST, KEY), (400,), "*", closes=None)
            for name, target in targets.items()
        ),
        *(
            Case(f"the absolute form of {target}", raw(f"GET {target}/v1/models HTTP/1.1", HOST, KEY), (200,))
            for target in ("http://gateway", "https://other:443", "HTTP://[::1]:80")
        ),
        *(
            _broken(
                f"the absolute form and {name}", raw(f"GET http://gateway{path} HTTP/1.1", KEY, *lines), code="bad_host"
            )
            for name, lines in hosts.items()
        ),
        *(_broken(name, raw(f"GET {path} HTTP/1.1", KEY, *lines), code="bad_host") for name, lines in hosts.items()),
        _broken("CONNECT", raw("CONNECT gateway:443 HTTP/1.1", HOST, KEY), 400, 405, 501, code="*"),
        _broken("OPTIONS *", raw("OPTIONS * HTTP/1.1", HOST, KEY), 400, 404, 405, code="*"),
        Case("no host on HTTP/1.0", raw(f"GET {path} HTTP/1.0", KEY), (200,), closes=True),
        Case("a line end before the request", b"\r\n" + get(path), (200,)),
    ]


def _sizes() -> list[Case]:
    path = "/v1/models"
    many = [f"x-{number}: v" for number in range(65)]
    most = [f"x-{number}: v" for number in range(62)]
    padding = b'{"model":"narrow","padding":"' + b"x" * 2000 + b'"}'
    return [
        _broken("too many fields", raw(f"GET {path} HTTP/1.1", HOST, KEY, *many), 431, code="head_too_large"),
        _broken("a field of 17 KiB", get(path, fields=f"x: {'v' * 17 * KIB}\r\n"), 431, code="head_too_large"),
        _broken("fields of 17 KiB in all", get(path, fields=f"x: {'v' * 999}\r\n" * 17), 431, code="head_too_large"),
        _broken("an endless field", get(path)[:-2] + b"x: " + b"v" * 20 * KIB, 431, code="head_too_large"),
        _broken("an endless name", get(path)[:-2] + b"x" * 20 * KIB, 431, code="head_too_large"),
        _broken("a target of 5 KiB", get(f"/{'x' * 5 * KIB}"), 414, code="uri_too_long"),
        _broken("an endless target", b"GET /" + b"x" * 5 * KIB, 414, code="uri_too_long"),
        _broken("an endless method", b"G" * 20 * KIB, 400, 431, code="*"),
        Case("as many fields as may be", raw(f"GET {path} HTTP/1.1", HOST, KEY, *most), (200,)),
        Case("a target of nearly 4 KiB", get(f"{path}?{'x' * 4000}"), (200,)),
        Case("a body beyond the model's bound", post(TARGET, padding), (413,), "body_too_large"),
        Case("a chunked body beyond the model's bound", call(CHUNKED, body=chunked(padding)), (413,), "body_too_large"),
        _broken(
            "a length beyond every bound", call("content-length: 99999999999", body=b"{"), 413, code="body_too_large"
        ),
    ]


def _bodies() -> list[Case]:
    bodies = {
        "no JSON": b"hello",
        "nothing": b"",
        "truncated JSON": BODY[:-1],
        "JSON that ends within a string": BODY[:-8],
        "JSON with more behind it": BODY + b"x",
        "two JSON objects": BODY + BODY,
        "a list": b"[" + BODY + b"]",
        "a string": b'"model"',
        "null": b"null",
        "NaN": b'{"model":"good","a":NaN}',
        "a trailing comma": b'{"model":"good",}',
        "single quotes": b"{'model':'good'}",
        "a comment": b'{"model":"good" /* hello */}',
        "a control byte in a string": b'{"model":"good","a":"\x01"}',
        "a number with a leading zero": b'{"model":"good","a":01}',
        "too deep": DEEP,
        "very deep": b'{"model":"good","a":' + b"[" * 100_000,
        "a byte order mark": b"\xef\xbb\xbf" + BODY,
        "UTF-16": BODY.decode().encode("utf-16"),
    }
    doubles = {
        "model twice": b'{"model":"good","model":"large","messages":[]}',
        "model twice, the same": b'{"model":"good","messages":[],"model":"good"}',
        "model twice, once with an escape": b'{"model":"good","mod\\u0065l":"large"}',
        "stream twice": b'{"model":"good","stream":true,"stream":false}',
    }
    return [
        *(Case(name, post(TARGET, body), (400,), "invalid_json") for name, body in bodies.items()),
        *(Case(name, post(TARGET, body), (400,), "duplicate_key") for name, body in doubles.items()),
        *(
            Case(name, post(TARGET, json.dumps({"model": model}).encode()), (400, 404), "*")
            for name, model in {
                "model is null": None,
                "model is a number": 5,
                "model is a list": ["good"],
                "model is empty": "",
            }.items()
        ),
        Case("no model", post(TARGET, b'{"messages":[]}'), (400,), "*"),
        Case("an unknown model", chat_request("hello", model="unknown"), (404,), "model_not_found"),
        Case("a model with odd characters", chat_request("hello", model='a"\r\n\u20ac'), (404,), "model_not_found"),
        Case(
            "a compressed body", post(TARGET, b"\x1f\x8b\x08\0", fields="content-encoding: gzip\r\n"), (400, 415), "*"
        ),
    ]


def _routes() -> list[Case]:
    return [
        Case("an unknown path", get("/nowhere"), (404,), "no_route"),
        Case("the root", get("/"), (404,), "no_route"),
        Case("an unknown path below /v1", get("/v1/nowhere"), (404,), "no_route"),
        Case("another case", get("/V1/models"), (404,), "no_route"),
        Case("GET where POST is due", get(TARGET), (405,), "method_not_allowed", fields=(("allow", "POST"),)),
        Case("HEAD where POST is due", get(TARGET, method="HEAD"), (405,), "method_not_allowed", head=True),
        Case("DELETE", get(TARGET, method="DELETE"), (405,), "method_not_allowed", fields=(("allow", "POST"),)),
        Case("TRACE", get("/v1/models", method="TRACE"), (400, 405, 501), "*"),
        Case("POST where GET is due", post("/open/x", b"{}"), (405,), "method_not_allowed"),
        Case("no key", raw("GET /v1/models HTTP/1.1", HOST), (401,), "*"),
        Case("an unknown key", get("/v1/models", key="wrong"), (401,), "*"),
        Case("an empty key", raw("GET /v1/models HTTP/1.1", HOST, "authorization: Bearer "), (401,), "*"),
        Case("a key of another scheme", raw("GET /v1/models HTTP/1.1", HOST, "authorization: Basic YTpi"), (401,), "*"),
        Case("a key of 8 KiB", get("/v1/models", key="k" * 8 * KIB), (401,), "*"),
        Case("a key beyond ASCII", raw("GET /v1/models HTTP/1.1", HOST, "api-key: \xff\xfe"), (401,), "*"),
        Case("no key, unknown model", post(TARGET, b'{"model":"unknown"}', key="wrong"), (401,), "*"),
        Case("no key, bad JSON", post(TARGET, b"{", key="wrong"), (401,), "*"),
    ]


def _served() -> list[Case]:
    upgrade = ("connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQAAP__")
    return [
        Case("a plain call", call(LENGTH), (200,)),
        Case("without /v1", call(LENGTH, line="POST /chat/completions HTTP/1.1"), (200,)),
        Case("chunked", call(CHUNKED, body=chunked(BODY[:10], BODY[10:])), (200,)),
        Case("many small chunks", call(CHUNKED, body=chunked(*(b"%c" % byte for byte in BODY))), (200,)),
        Case(
            "chunk extensions",
            call(CHUNKED, body=b'%x;a=b;c="d"\r\n%b\r\n0;e\r\n\r\n' % (len(BODY), BODY)),
            (200,),
        ),
        Case("trailers", call(CHUNKED, body=chunked(BODY)[:-2] + b"x-api-key: wrong\r\nhost: other\r\n\r\n"), (200,)),
        Case("chunked in capitals", call("Transfer-Encoding: CHUNKED", body=chunked(BODY)), (200,)),
        Case("Upgrade: h2c with a body", call(*upgrade, LENGTH), (200,)),
        Case("Upgrade: h2c with a chunked body", call(*upgrade, CHUNKED, body=chunked(BODY[:9], BODY[9:])), (200,)),
        Case("Upgrade: websocket", get("/v1/models", fields="connection: upgrade\r\nupgrade: websocket\r\n"), (200,)),
        Case("HEAD", get("/v1/models", method="HEAD"), (200,), head=True),
        Case("HTTP/1.0", call(LENGTH, line=f"POST {TARGET} HTTP/1.0"), (200,), closes=True),
        Case("HTTP/1.0 kept alive", call(LENGTH, "connection: keep-alive", line=f"POST {TARGET} HTTP/1.0"), (200,)),
        Case(
            "connection: close",
            call(LENGTH, "connection: close"),
            (200,),
            closes=True,
            fields=(("connection", "close"),),
        ),
        Case("a key in x-api-key", raw("GET /v1/models HTTP/1.1", HOST, f"x-api-key: {KEYS['alice']}"), (200,)),
        Case("a key in api-key", raw("GET /v1/models HTTP/1.1", HOST, f"api-key: {KEYS['alice']}"), (200,)),
        Case("health without a key", raw("GET /healthz HTTP/1.1", HOST), (200,)),
        Case("liveness without a key", raw("GET /health/liveness HTTP/1.1", HOST), (200,)),
        Case("readiness without a key", raw("GET /readyz HTTP/1.1", HOST), (200,)),
        Case("a host with a port", raw("GET /v1/models HTTP/1.1", "host: [::1]:8080", KEY), (200,)),
        Case("a query", get("/v1/models?limit=1&limit=2"), (200,)),
        Case("JSON with spaces", post(TARGET, json.dumps(json.loads(BODY), indent=8).encode()), (200,)),
        Case(
            "model spelt with escapes",
            post(TARGET, BODY.replace(b'"model":"good"', b'"mod\\u0065l":"g\\u006fod"')),
            (200,),
        ),
        Case("model twice, once inside", post(TARGET, BODY[:-1] + b',"metadata":{"model":"large"}}'), (200,)),
    ]


CASES = _framing() + _lines() + _sizes() + _bodies() + _routes() + _served()
