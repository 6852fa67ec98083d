"""Which tests of endurance belong to a soak run alone."""

from tests.soak.counts import FULL

# It needs tools that `make test` does not ask for: valgrind, nginx, wrk, locust.
collect_ignore = [] if FULL else ["test_gates.py"]
