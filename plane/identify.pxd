cimport cython

from plane.consumers cimport Consumers
from plane.exchange cimport Exchange
from plane.runtime cimport Consumer


@cython.locals(consumers=Consumers, consumer=Consumer)
cpdef identify(Exchange exchange)
