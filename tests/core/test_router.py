"""core.router: the best pattern serves, whatever the order of the config; odd paths are refused, never tidied."""

import itertools
import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError, GatewayError
from core.router import Router, params

HOST = b"gateway.example"
PATHS = [
    "/" + "/".join(parts) + end
    for length in range(1, 5)
    for parts in itertools.product("abc", repeat=length)
    for end in ("", "/")
] + ["/"]


class Naive:
    """Every entry is tried; the best of those that take host, path and method is the answer."""

    def __init__(self, entries):
        self.entries = entries

    def rank(self, entry, host, path):
        pattern, parts = entry[1][1:].split("/"), path[1:].split("/")
        if entry[0] not in (None, host) or not self.takes(pattern, parts):
            return None
        kinds = [2 if part == "*" else 1 if part.startswith("{") else 0 for part in pattern]
        return (entry[0] is None, kinds)

    def takes(self, pattern, parts):
        if pattern[-1:] == ["*"]:
            return len(parts) >= len(pattern) and self.takes(pattern[:-1], parts[: len(pattern) - 1])
        return len(parts) == len(pattern) and all(
            part != "" if wanted.startswith("{") else part == wanted
            for wanted, part in zip(pattern, parts, strict=True)
        )

    def match(self, method, host, path):
        ranked = [(self.rank(entry, host, path), entry) for entry in self.entries]
        ranked = [(rank, entry) for rank, entry in ranked if rank is not None]
        having = [(rank, entry) for rank, entry in ranked if self.has(entry, method)]
        if having:
            best = min(rank for rank, _ in having)
            [entry] = [entry for rank, entry in having if rank == best]
            return entry[3]
        return 405 if ranked else 404

    def has(self, entry, method):
        return not entry[2] or method in entry[2] or (method == "HEAD" and "GET" in entry[2])


def entry(path, methods=(), value=None, host=None, raw_path=False):
    return (host, path, methods, value or path, raw_path)


def matched(router, path, method="GET", host=HOST):
    try:
        return router.match(method, host, path if isinstance(path, bytes) else path.encode())
    except GatewayError as error:
        return error.status


def refused(router, path, method="GET", host=HOST):
    with pytest.raises(GatewayError) as caught:
        router.match(method, host, path if isinstance(path, bytes) else path.encode())
    return caught.value


def pattern_of(parts, end):
    return "/" + "/".join(part.format(at) for at, part in enumerate([*parts, end]))


patterns = st.builds(
    pattern_of,
    st.lists(st.sampled_from(["a", "b", "{{p{}}}"]), max_size=3),
    st.sampled_from(["*", "a", "{{p{}}}", ""]),
)
shapes = st.tuples(st.sampled_from([None, None, "h"]), patterns, st.sampled_from([(), ("GET",), ("POST",)]))


def apart(found):
    """Keep of each group that would take the same requests the first, or one for each method."""
    kept = {}
    for host, path, methods in found:
        same = kept.setdefault((host, re.sub(r"\{\w+\}", "{}", path)), {})
        if () not in same and (not same if methods == () else methods not in same):
            same[methods] = (host, path, methods, f"{host} {path} {methods}", False)
    return [entry for same in kept.values() for entry in same.values()]


@given(st.lists(shapes, min_size=1, max_size=12).map(apart))
@settings(max_examples=60, deadline=None)
def test_the_router_and_the_naive_matcher_agree_on_every_path(entries):
    router, naive = Router(entries), Naive(entries)
    for path in PATHS[:: 1 + len(PATHS) // 100]:
        for method, host in (("GET", "h"), ("POST", "other"), ("HEAD", "h")):
            assert matched(router, path, method, host.encode()) == naive.match(method, host, path)


@given(st.lists(shapes, min_size=2, max_size=8).map(apart), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_entries_does_not_matter(entries, random):
    shuffled = random.sample(entries, len(entries))
    one, other = Router(entries), Router(shuffled)
    for path in PATHS[:: 1 + len(PATHS) // 40]:
        assert matched(one, path, "GET", b"h") == matched(other, path, "GET", b"h")


def clean(path: bytes) -> bool:
    """Say in the plainest way what a path must be for all readers to see the same segments in it."""
    if not re.fullmatch(rb"(/([!$&-.0-:=@-\[\]-~]|%[0-9a-fA-F]{2})*)+", path):
        return False
    *inner, last = path.split(b"/")[1:]
    if b"" in inner or {b".", b".."} & {unquote_to_bytes(segment) for segment in (*inner, last)}:
        return False
    return not re.search(rb"(?i)%(2f|2e|5c|00)", path)


odd = st.lists(
    st.sampled_from(
        [b"/", b"/", b"a", b".", b"..", b"%2e", b"%2F", b"%5c", b"%00", b"%", b"%4", b"%41", b"%25", b"%zz"]
    )
    | st.sampled_from(
        [b"\\", b";", b"\0", b"\x7f", b" ", b"?", b"#", b"\xc3\xa9", b"*", b"{a}", b"~", b'"', b"<", b"'"]
    ),
    max_size=7,
).map(b"".join)


@given(st.lists(odd | odd.map(lambda path: b"/" + path), min_size=40, max_size=40))
@settings(max_examples=60, deadline=None)
def test_exactly_the_clean_paths_are_accepted(paths):
    router = Router([entry("/*")])
    for path in paths:
        assert matched(router, path) == ("/*" if clean(path) else 400), path


ODD_PATHS = (
    *["", "a", "a/b", "*", "http://x/a", "//", "/a//b", "/a//", "/.", "/..", "/./", "/../", "/a/./b", "/a/../b"],
    *["/a/..", "/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", "/a%00", "/%2e", "/%2E%2e/", "/.%2e/a", "/a%2eb", "/a\\b"],
    *[
        "/a;b",
        "/a\0",
        "/a\n",
        "/a\x7f",
        "/a b",
        "/é",
        "/a%",
        "/a%4",
        "/a%4g",
        "/a%g4",
        "/a%%41",
        "/a?b",
        "/a#b",
        "/a%c",
    ],
)


@pytest.mark.parametrize("path", ODD_PATHS)
def test_an_odd_path_is_refused_whether_or_not_a_route_takes_it(path):
    for router in (Router([entry("/*")]), Router([entry("/x")]), Router([entry("/a/{x}")])):
        error = refused(router, path)
        assert (error.status, error.code, error.source) == (400, "bad_path", "caller")


@pytest.mark.parametrize(
    "path", ["/", "/a/", "/a...b", "/...", "/a/..b", "/.a", "/a%20b", "/a%25", "/a:b@c", "/a%252fb"]
)
def test_a_clean_path_reaches_its_route_as_it_was_sent(path):
    assert matched(Router([entry("/*")]), path) == "/*"


def test_static_beats_parameter_beats_wildcard():
    router = Router(
        [entry("/*"), entry("/u/*"), entry("/u/{id}"), entry("/u/me"), entry("/u/{id}/x"), entry("/u/me/*")]
    )
    assert matched(router, "/u/me") == "/u/me"
    assert matched(router, "/u/7") == "/u/{id}"
    assert matched(router, "/u/7/x") == "/u/{id}/x"
    assert matched(router, "/u/7/y") == "/u/*"
    assert matched(router, "/u/me/x") == "/u/me/*"
    assert matched(router, "/u/") == "/u/*"
    assert matched(router, "/u") == "/*"
    assert matched(router, "/") == "/*"


def test_a_dead_end_is_left_again():
    router = Router([entry("/a/b/c/d"), entry("/a/{x}/c/e"), entry("/{x}/b/c/f"), entry("/{x}/*")])
    assert matched(router, "/a/b/c/d") == "/a/b/c/d"
    assert matched(router, "/a/b/c/e") == "/a/{x}/c/e"
    assert matched(router, "/a/b/c/f") == "/{x}/b/c/f"
    assert matched(router, "/a/b/c/g") == "/{x}/*"


def test_a_parameter_takes_one_whole_segment_that_is_not_empty():
    router = Router([entry("/a/{x}"), entry("/a/{x}/")])
    assert matched(router, "/a/") == 404
    assert matched(router, "/a/1/2") == 404
    assert matched(router, "/a/1/") == "/a/{x}/"


def test_the_method_chooses_among_patterns_that_take_the_path():
    router = Router([entry("/u/me", ("GET",)), entry("/u/{id}", ("DELETE", "GET"))])
    assert matched(router, "/u/me", "GET") == "/u/me"
    assert matched(router, "/u/me", "DELETE") == "/u/{id}"


def test_a_path_with_other_methods_only_says_which():
    router = Router([entry("/u/me", ("PUT",)), entry("/u/{id}", ("GET",)), entry("/u/*", ("POST",), host="h")])
    error = refused(router, "/u/me", "PATCH")
    assert (error.status, error.code, error.allow) == (405, "method_not_allowed", "GET, HEAD, PUT")
    assert refused(router, "/u/me", "PATCH", b"h").allow == "GET, HEAD, POST, PUT"
    error = refused(router, "/v", "GET")
    assert (error.status, error.code, error.allow) == (404, "no_route", "")


def test_get_serves_head_unless_head_has_an_entry_of_its_own():
    router = Router([entry("/a", ("GET",), "get"), entry("/b", ("GET",), "get"), entry("/b", ("HEAD",), "head")])
    assert matched(router, "/a", "HEAD") == "get"
    assert matched(router, "/b", "HEAD") == "head"
    assert matched(Router([entry("/a", ("POST",))]), "/a", "HEAD") == 405


def test_an_entry_without_methods_takes_any_method():
    assert matched(Router([entry("/a")]), "/a", "PROPFIND") == "/a"


@pytest.mark.parametrize(
    "host", [b"api.example", b"API.Example", b"api.example:8080", b"Api.example:80", b"api.example:"]
)
def test_a_host_is_compared_in_lower_case_without_its_port(host):
    router = Router([entry("/a", value="own", host="api.example"), entry("/a", value="any")])
    assert matched(router, "/a", host=host) == "own"


@pytest.mark.parametrize(
    "host", [b"", b"example", b"x.api.example", b"api.example.", b"api.example:80:80", b"[::1]:80"]
)
def test_another_host_gets_the_entries_of_any_host(host):
    router = Router([entry("/a", value="own", host="api.example"), entry("/a", value="any")])
    assert matched(router, "/a", host=host) == "any"


def test_a_hosts_own_entries_come_first_and_those_of_any_host_after():
    router = Router([entry("/*", value="own", host="h"), entry("/a", value="any"), entry("/b", ("PUT",), "own b", "h")])
    assert matched(router, "/a", host=b"h") == "own"
    router = Router([entry("/b", value="own", host="h"), entry("/a", value="any"), entry("/x/{y}", value="any x")])
    assert [matched(router, path, host=b"h") for path in ("/a", "/b", "/x/1", "/c")] == ["any", "own", "any x", 404]


def test_escaped_slashes_pass_only_within_the_wildcard_of_a_raw_path():
    raw = entry("/git/{group}/*", raw_path=True)
    router = Router([raw, entry("/git/{group}/tidy/*"), entry("/*")])
    assert matched(router, "/git/a/b%2Fc/d%2fe") == "/git/{group}/*"
    assert matched(router, "/git/a%2Fb/c") == 400
    assert matched(router, "/git/a/tidy/b%2Fc") == 400
    assert matched(router, "/other/b%2Fc") == 400
    assert matched(router, "/git/a/b%5Cc") == 400
    assert matched(router, "/git/a/b%2Fc%2e") == 400
    assert matched(router, "/git/a/b%2Fc/../d") == 400


def test_an_escaped_slash_is_refused_where_no_route_or_method_would_take_the_path():
    router = Router([entry("/git/*", ("GET",), raw_path=True)])
    assert matched(router, "/git/a%2Fb", "POST") == 400
    assert matched(router, "/x%2Fy") == 400


def test_parameters_are_what_the_pattern_took():
    assert params("/u/{id}/f/*", b"/u/7/f/a/b%20c") == {"id": "7", "*": "a/b%20c"}
    assert params("/u/{id}/f/*", b"/u/7/f/") == {"id": "7", "*": ""}
    assert params("/w/{name}", b"/w/n") == {"name": "n"}
    assert params("/x", b"/x") == {}


ODD_PATTERNS = (
    *["", "a", "a/b", "/a//b", "/a/./b", "/..", "/a*", "/*/a", "/a/**", "/{a}b", "/{a", "/a}", "/{}", "/{1}", "/{a-b}"],
    *["/{a}/{a}", "/a b", "/a;b", "/a%2Fb", "/a%zz", "/é", "/a?b", "/a%2e", "//"],
)


@pytest.mark.parametrize("path", ODD_PATTERNS)
def test_a_pattern_that_no_request_could_have_is_refused(path):
    with pytest.raises(ConfigError) as caught:
        Router([entry(path, value="v"), entry("/fine")])
    assert all(problem.startswith(f"{path}: ") for problem in caught.value.problems)


@pytest.mark.parametrize("host", ["Example.com", "a:80", "", "é"])
def test_a_host_no_request_could_be_compared_with_is_refused(host):
    with pytest.raises(ConfigError, match="host"):
        Router([entry("/a", host=host)])


def test_raw_path_without_a_wildcard_is_refused():
    with pytest.raises(ConfigError, match="raw_path"):
        Router([entry("/a/{x}", raw_path=True)])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (entry("/a"), entry("/a")),
        (entry("/a"), entry("/a", ("GET",))),
        (entry("/a", ("GET",)), entry("/a")),
        (entry("/a", ("GET", "PUT")), entry("/a", ("PUT",))),
        (entry("/a/{x}"), entry("/a/{y}")),
        (entry("/{x}/*"), entry("/{y}/*")),
        (entry("/a", host="h"), entry("/a", host="h")),
    ],
)
def test_two_entries_that_would_take_the_same_request_are_refused(one, other):
    with pytest.raises(ConfigError) as caught:
        Router([one, other])
    [problem] = caught.value.problems
    assert other[1] in problem


def test_the_same_pattern_may_serve_other_methods_or_hosts():
    router = Router([entry("/a/{x}", ("GET",), 1), entry("/a/{y}", ("PUT",), 2), entry("/a/{z}", (), 3, host="h")])
    assert matched(router, "/a/1", "GET") == 1
    assert matched(router, "/a/1", "PUT") == 2
    assert matched(router, "/a/1", "PUT", b"h") == 3


def test_a_method_named_twice_in_one_entry_is_named_once():
    assert matched(Router([entry("/a", ("GET", "GET"))]), "/a") == "/a"


def test_every_problem_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        Router([entry("/a//b"), entry("/b"), entry("/b"), entry("/c*"), entry("/d", raw_path=True)])
    assert len(caught.value.problems) == 4


def test_ten_thousand_routes_each_get_their_own_requests():
    kinds = ("/s/{n}/static", "/p/{n}/{{id}}/x", "/w/{n}/*", "/v{n}/{{id}}")
    entries = [entry(kinds[n % 4].format(n=n), value=n + 1) for n in range(10_000)]
    router = Router(entries)
    for n in range(0, 10_000, 7):
        path = entries[n][1].replace("{id}", "some-id").replace("*", "a/b/c")
        assert matched(router, path) == n + 1


def test_a_pattern_as_deep_as_can_be_is_matched():
    deep = "/a" * 511
    router = Router([entry(deep + "/*"), entry("/{x}" + "/a" * 510 + "/b")])
    assert matched(router, deep + "/c") == deep + "/*"
    assert matched(router, deep[:-2] + "/b") == 404
    assert matched(router, "/q" * 2000) == 404
