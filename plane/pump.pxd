cimport cython

from core.sse cimport EventScan
from plane.exchange cimport Downstream, Exchange
from plane.http1.client cimport UpstreamConnection


@cython.locals(downstream=Downstream, scan=EventScan, data=bytes)
cpdef bint pump(Exchange exchange) except -1
