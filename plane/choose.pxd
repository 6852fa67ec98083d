cimport cython

from plane.exchange cimport Exchange
from plane.runtime cimport Model, Route


@cython.locals(route=Route, model=Model)
cpdef choose(Exchange exchange)
