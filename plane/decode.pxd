cimport cython

from plane.exchange cimport Exchange
from plane.runtime cimport Consumer, Model, Route, Runtime


@cython.locals(parts=list, route=Route, runtime=Runtime)
cpdef decode(Exchange exchange)
@cython.locals(runtime=Runtime, model=Model)
cpdef Model model_of(Exchange exchange)
@cython.locals(consumer=Consumer)
cpdef bint may_use(Exchange exchange, str name)
