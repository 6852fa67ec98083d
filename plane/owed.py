"""The usage of a response that is made in the background: told later, and as often as somebody asks for the response.

The id of such a response says which model and which target made it, so that whatever worker sees its usage can price
it. No worker knows whether another has seen it before: all events that tell of it have the same word, `Detail.once`,
and control counts the first of them (`control.once`).
"""

from __future__ import annotations

from plane.exchange import Exchange
from plane.pins import Pin

__all__ = ["once_of", "recall"]


def recall(exchange: Exchange) -> None:
    """Take the model and the target that made what is kept for those of this call, where the config has them still."""
    pin: Pin = exchange.owed
    runtime = exchange.runtime
    model = runtime.models.get(pin.model) or runtime.wildcards.find(pin.model)
    for target in model.targets if model is not None else ():
        if target.name == pin.target:
            exchange.model, exchange.model_name, exchange.target = model, pin.model, target
            return


def once_of(pin: Pin) -> str:
    """Return the word that all events have which tell of the usage of the response that `pin` names."""
    return f"{pin.provider}/{pin.id}"
