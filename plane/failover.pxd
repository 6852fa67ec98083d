cimport cython

from plane.exchange cimport Exchange
from plane.health cimport Health
from plane.metrics cimport Metrics
from plane.retries cimport RetryRule
from plane.runtime cimport Candidate, Runtime

cdef long long SECOND


@cython.locals(candidate=Candidate, place=Candidate, rule=RetryRule, now='long long')
cpdef Candidate first(Exchange exchange)
@cython.locals(candidate=Candidate, place=Candidate, slow=Candidate)
cdef Candidate pick(Exchange exchange, int failure, long long now)
@cython.locals(entered=int)
cdef bint let_in(Exchange exchange, Candidate place, long long now) except -1
@cython.locals(keys=list, count=Py_ssize_t, offset=Py_ssize_t, start=Py_ssize_t, stays=bint, best=Candidate, key=Candidate)
cdef Candidate key_of(Exchange exchange, Candidate candidate, long long now)
@cython.locals(health=Health)
cdef bint is_usable(Exchange exchange, Candidate place, long long now) except -1
cdef reject(Exchange exchange, Candidate candidate, str reason)
cdef Candidate stay(Exchange exchange, str reason)
cdef Candidate noted(Exchange exchange, Candidate following, str error, long long wait)
cdef out_of_service(Exchange exchange, long long now)
@cython.locals(failure=int, wait='long long')
cpdef Candidate after_error(Exchange exchange, object error)
@cython.locals(failure=int, wait='long long', body=bytes)
cpdef Candidate after_answer(Exchange exchange)
@cython.locals(rule=RetryRule, now='long long', before=Candidate, place=Candidate, metrics=Metrics)
cdef Candidate next_place(Exchange exchange, int failure, long long wait)
cdef visit(Exchange exchange, Candidate place, int failure)
@cython.locals(rule=RetryRule, best=Candidate, place=Candidate, soonest='long long', at='long long', pause='long long', backoff='long long')
cdef Candidate again(Exchange exchange, int failure, long long wait, long long now)
@cython.locals(now='long long')
cpdef re_enter(Exchange exchange, Candidate place)
@cython.locals(outcome=int, health=Health, answering=Candidate)
cpdef report(Exchange exchange, int failure, long long wait)
@cython.locals(error=str, failure=int)
cpdef conclude(Exchange exchange)
