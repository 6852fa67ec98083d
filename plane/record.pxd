cimport cython

from plane.exchange cimport Exchange
from plane.ledger cimport Ledger
from plane.measure cimport count_unrecorded, measure_phases
from plane.runtime cimport Candidate, Consumer, Model, Route, Runtime


@cython.locals(given=bytes, runtime=Runtime)
cpdef take_id(Exchange exchange)
@cython.locals(consumer=Consumer, route=Route, ledger=Ledger, now="long long", target=Candidate, model=Model)
cpdef record(Exchange exchange)
cdef long long bytes_out(Exchange exchange) except -1
