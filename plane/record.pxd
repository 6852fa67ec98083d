cimport cython

from plane.exchange cimport Exchange
from plane.ledger cimport Ledger
from plane.measure cimport count_unrecorded, measure_phases
from plane.runtime cimport Candidate, Consumer, Model, Route, Runtime
from plane.usage cimport Usage


@cython.locals(given=bytes, runtime=Runtime)
cpdef take_id(Exchange exchange)
@cython.locals(consumer=Consumer, route=Route, ledger=Ledger, now="long long", target=Candidate, model=Model, usage=Usage, requested=str, once=str, has_words=bint)
cpdef record(Exchange exchange)
@cython.locals(counted="long long")
cdef bint has_detail(Usage usage) except -1
cdef object detail_of(Usage usage, str requested, str once)
cdef long long bytes_out(Exchange exchange) except -1
