cimport cython

from plane.charge cimport charge, estimate
from plane.exchange cimport Exchange
from plane.runtime cimport Target
from plane.usage cimport Usage
from plane.way cimport Way


@cython.locals(target=Target, served=bint, is_cut=bint, usage=Usage, way=Way)
cpdef settle(Exchange exchange)
