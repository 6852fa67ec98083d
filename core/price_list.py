"""What a provider's models cost by their names, for those that no config lists: the targets of wildcards.

The rows stand in the snapshot (sections of the kind ``prices``) in the order in which they are looked through, as a
vendor's list has them: a name fits a row, not the reverse, since lists know families of names and not each one.
"""

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from core.model import Price

__all__ = ["PriceList", "PriceRow"]

_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class PriceRow(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The price of some names.

    names: those names; a ``*`` in one stands for any text. like: regular expressions, found in a name in small letters.
    price: None where the list knows such models and says no price.
    """

    names: tuple[str, ...]
    like: tuple[str, ...] = ()
    price: Price | None = None

    def fits(self, name: str) -> bool:
        """Tell whether a name, in small letters, is one of this row's."""
        return any(_fits(known.lower(), name) for known in self.names) or any(
            re.search(pattern, name) for pattern in self.like
        )


class PriceList:
    """The rows of one provider."""

    def __init__(self, rows: Iterable[PriceRow] = ()) -> None:
        self.rows = list(rows)

    def price(self, model: str) -> Price | None:
        """Return what calls of a model cost, None where the list does not say.

        A date without hyphens (``-20251211``) is one with them where there is no such name, as in the vendor's lists.
        """
        name = model.lower()
        for spelt in (name, _COMPACT_DATE.sub(r"-\1-\2-\3", name)):
            for row in self.rows:
                if row.fits(spelt):
                    return row.price
        return None

    def models(self) -> Iterator[str]:
        """Yield the names that are written out."""
        for row in self.rows:
            yield from (name for name in row.names if "*" not in name)


def _fits(known: str, name: str) -> bool:
    """Tell whether `name` is `known`, whose stars stand for any text."""
    first, *rest = known.split("*")
    if not rest:
        return known == name
    *middle, last = rest
    if not name.startswith(first):
        return False
    at = len(first)
    for part in middle:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return name.endswith(last) and len(name) - len(last) >= at
