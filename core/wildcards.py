"""Names of models that are wildcards: ``openai/*`` stands for every name that begins with ``openai/`` and goes on."""

import re
from collections.abc import Iterable

__all__ = ["STAR", "Names", "filled", "is_wildcard", "star_of"]

STAR = "*"
_ASKED = re.compile(r"[A-Za-z0-9._:/@+-]{1,128}")


def is_wildcard(name: str) -> bool:
    """Tell whether a name in the config stands for all that begin as it does."""
    return name.endswith(STAR)


def star_of(wildcard: str, name: str) -> str:
    """Return what the ``*`` of a wildcard stands for in `name`; "" where `name` is none of its names.

    Other letters than names in the config may have, and more than 128 of them, are in no name: what a caller sends here
    goes into addresses and heads.
    """
    beginning = wildcard[:-1]
    star = name[len(beginning) :]
    return star if name.startswith(beginning) and _ASKED.fullmatch(star) else ""


def filled(model: str, star: str) -> str:
    """Return the provider's name of a model, where a target's is `model`: with `star` in place of its ``*``."""
    return model.replace(STAR, star)


class Names:
    """The names of a config's models."""

    def __init__(self, names: Iterable[str]) -> None:
        self.all = frozenset(names)
        self._beginnings = tuple(name[:-1] for name in self.all if is_wildcard(name))

    def reach(self, allowed: str) -> bool:
        """Tell whether a name, or a wildcard, in a consumer's list can mean any model at all."""
        if allowed in self.all or allowed == STAR:
            return True
        if not is_wildcard(allowed):
            return any(star_of(beginning + STAR, allowed) for beginning in self._beginnings)
        own = allowed[:-1]
        return any(name.startswith(own) for name in self.all) or any(map(own.startswith, self._beginnings))
