cimport cython

from plane.exchange cimport Exchange
from plane.runtime cimport Consumer


@cython.locals(consumer=Consumer, now="long long", remaining="long long")
cpdef admit(Exchange exchange)
