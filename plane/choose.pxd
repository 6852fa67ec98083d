cimport cython

from plane.exchange cimport Exchange
from plane.runtime cimport Model, Route


@cython.locals(route=Route, model=Model, targets=list)
cpdef choose(Exchange exchange)
@cython.locals(found=list)
cdef list able(Model model, Route route)
