cimport cython

from plane.exchange cimport Exchange
from plane.runtime cimport Consumer


cdef long long SECOND


@cython.locals(consumer=Consumer, now="long long", remaining="long long")
cpdef admit(Exchange exchange)
