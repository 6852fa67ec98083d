cimport cython

from plane.exchange cimport Exchange
from plane.runtime cimport Route, Runtime


@cython.locals(route=Route, runtime=Runtime)
cpdef Route match(Exchange exchange)
