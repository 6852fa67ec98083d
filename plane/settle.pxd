cimport cython

from plane.exchange cimport Exchange
from plane.runtime cimport Target


@cython.locals(target=Target, served=bint)
cpdef settle(Exchange exchange)
