from plane.exchange cimport Exchange


cpdef settle(Exchange exchange)
