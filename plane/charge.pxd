cimport cython

from core.money cimport Price
from plane.exchange cimport Exchange
from plane.runtime cimport Target
from plane.usage cimport Usage


@cython.locals(price=Price)
cpdef charge(Exchange exchange, Target target, Usage usage)
cpdef object cost_of(Price price, Usage usage)
@cython.locals(events="long long", text="long long")
cpdef Usage estimate(Exchange exchange, Usage said)
