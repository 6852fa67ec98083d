cimport cython

from plane.exchange cimport Exchange
from plane.runtime cimport Consumer
from plane.shed cimport join


cdef long long SECOND


@cython.locals(consumer=Consumer, now="long long", remaining="long long")
cpdef admit(Exchange exchange)
