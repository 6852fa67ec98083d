cimport cython

from core.stream_scan cimport StreamScan
from plane.exchange cimport Downstream, Exchange
from plane.http1.client cimport UpstreamConnection


@cython.locals(downstream=Downstream, scan=StreamScan, data=bytes)
cpdef bint pump(Exchange exchange) except -1
