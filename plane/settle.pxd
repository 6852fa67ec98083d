cimport cython

from plane.exchange cimport Exchange
from plane.runtime cimport Target
from plane.way cimport Way


@cython.locals(target=Target, served=bint, way=Way)
cpdef settle(Exchange exchange)
