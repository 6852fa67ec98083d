cimport cython

from core.sse cimport EventScan
from plane.exchange cimport Downstream, Exchange


@cython.locals(downstream=Downstream, scan=EventScan, data=bytes)
cpdef bint pump(Exchange exchange) except -1
