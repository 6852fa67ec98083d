cimport cython

from core.retry_budget cimport RetryBudget


@cython.final
cdef class RetryRule:
    cdef public str name
    cdef public int max
    cdef public int on
    cdef public long long backoff
    cdef public long long wait
    cdef public RetryBudget budget
