cimport cython

from plane.exchange cimport Exchange
from plane.runtime cimport Runtime


@cython.locals(runtime=Runtime)
cpdef identify(Exchange exchange)
