cimport cython

from core.endpoint cimport Endpoint
from core.limits cimport ConcurrencyLimit, RateLimit
from core.money cimport Price
from plane.overload cimport Tally
from core.router cimport Router
from plane.health cimport Health
from plane.retries cimport RetryRule
from plane.target_counts cimport TargetCounts


cdef class Candidate(Endpoint):
    cdef public object origin
    cdef public object pool
    cdef public bytes host
    cdef public bytes base_path
    cdef public Health health
    cdef public TargetCounts counts
    cdef public list keys
    cdef public Py_ssize_t turn
    cdef public int on


@cython.final
cdef class Target(Candidate):
    cdef public str model
    cdef public bytes model_json
    cdef public dict ways
    cdef public dict heads
    cdef public bytes field
    cdef public bytes secret
    cdef public str provider
    cdef public str mark
    cdef public object when
    cdef public object latency
    cdef public Price price


@cython.final
cdef class Consumer:
    cdef public str name
    cdef public object models
    cdef public tuple beginnings
    cdef public object limits
    cdef public bint explain
    cdef public RateLimit rate
    cdef public ConcurrencyLimit concurrency
    cdef public Tally tally
    cdef public bint bound
    cdef public bytes rate_lines


@cython.final
cdef class Model:
    cdef public str name
    cdef public list targets
    cdef public dict common
    cdef public dict partial
    cdef public object strategy
    cdef public bint only
    cdef public bint conditional
    cdef public object sticky
    cdef public object mirror
    cdef public object shadow
    cdef public bint is_wildcard
    cdef public object timeouts
    cdef public RetryRule retries
    cdef public long long max_body
    cdef public object hub


@cython.final
cdef class Route:
    cdef public str name
    cdef public dict ends
    cdef public dict by_field
    cdef public bytes id_field
    cdef public bint counts
    cdef public object handler
    cdef public bint needs_key
    cdef public bint needs_model
    cdef public bint pinned
    cdef public bint is_form
    cdef public bint at_once
    cdef public object dialect
    cdef public object operation
    cdef public long long max_body
    cdef public object balancer
    cdef public list endpoints
    cdef public object timeouts
    cdef public RetryRule retries


@cython.final
cdef class Runtime:
    cdef public long long version
    cdef public str digest
    cdef public object snapshot
    cdef public object site
    cdef public Router router
    cdef public dict models
    cdef public object wildcards
    cdef public object consumers
    cdef public dict parts
    cdef public object shared
    cdef public bytes mark
    cdef public bint gives_ids
    cdef public object voices
