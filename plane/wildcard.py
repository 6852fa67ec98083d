"""Wildcard models: one entry of the config for every name that begins as it does.

A name is made into a model of its own when it is first asked for, with targets that differ from the wildcard's in what
hangs on the provider's name of the model: the head of a request, the price. All else they share: health, connections,
credentials, budgets of retries. To metrics and the ledger they are the wildcard, so that callers cannot make up series.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from core.balance.weighted import Weighted
from core.money import Price
from core.price_list import PriceList
from core.wildcards import STAR, filled, star_of
from plane.runtime import Model, Target
from plane.vendor import Credential, Vendor, heads_of

__all__ = ["SEEN", "Wildcard", "Wildcards"]

SEEN = 1024
"""Names of a wildcard that are kept; one more, and all are made anew when they are asked for."""


class Wildcard:
    """One wildcard. model: as compiled, its targets with the ``*``. vendors, lists: by provider."""

    def __init__(self, model: Model, vendors: Mapping[str, Vendor], lists: Mapping[str, PriceList]) -> None:
        self.model = model
        self.vendors = vendors
        self.lists = lists
        self.balancer = Weighted()
        self.seen: dict[str, Model] = {}
        self.listed: list[str] | None = None

    def find(self, name: str) -> Model | None:
        """Return the model for one name, None if it is none of this wildcard's."""
        model = self.seen.get(name)
        if model is None:
            star = star_of(self.model.name, name)
            if star:
                if len(self.seen) >= SEEN:
                    self.seen.clear()
                model = self.seen[name] = self.made(star)
        return model

    def made(self, star: str) -> Model:
        """Return the model for the names' part that the ``*`` stands for."""
        model = self.model
        targets = [self.target(target, star) for target in model.targets]
        # Each name has turns of its own. They begin where those of the name before would go on, so that names that are
        # seldom asked for do not all begin with the heaviest target.
        self.balancer.order(model.targets)
        return Model(
            model.name,
            targets,
            model.strategy,
            model.timeouts,
            model.retries,
            model.max_body,
            model.sticky,
            model.hub,
            model.mirror,
            self.target(model.shadow, star) if model.shadow is not None else None,
        )

    def target(self, target: Target, star: str) -> Target:
        """Return a target for one name: with the first of its provider's credentials, the others in its `keys`."""
        vendor = self.vendors[target.provider]
        places = [
            self.place(place, credential, vendor, filled(place.model, star))
            for place, credential in zip(target.keys or [target], vendor.credentials, strict=True)
        ]
        if len(places) > 1:
            for place in places:
                place.keys = list(places)
            places[0].turn = target.turn
            target.turn = (target.turn + 1) % len(places)
        return places[0]

    def place(self, place: Target, credential: Credential, vendor: Vendor, model: str) -> Target:
        """Return one target at one credential."""
        heads = credential.heads
        if heads is None:
            heads = heads_of(vendor.ways, model, vendor.base, credential.constant)
        made = place.named(model, heads)
        if made.price is None and STAR in place.model:
            found = self.lists[place.provider].price(model) if place.provider in self.lists else None
            made.price = Price(found) if found is not None else None
        return made

    def names(self) -> list[str]:
        """Return the names that the price lists know, sorted; [] where they know none, or the provider has no list."""
        if self.listed is None:
            beginning = self.model.name[:-1]
            found = {beginning + star for star in self.stars()}
            self.listed = sorted(name for name in found if star_of(self.model.name, name))
        return self.listed

    def stars(self) -> Iterator[str]:
        """Yield what the ``*`` may stand for, as far as the lists of the targets' providers tell."""
        for target in self.model.targets:
            first, star, last = target.model.partition(STAR)
            if not star or target.provider not in self.lists:
                continue
            for name in self.lists[target.provider].models():
                if name.startswith(first) and name.endswith(last):
                    yield name[len(first) : len(name) - len(last)]


class Wildcards:
    """All wildcards of a runtime, those with the longest beginning first."""

    def __init__(self, made: Iterable[Wildcard]) -> None:
        self.made = sorted(made, key=lambda wildcard: -len(wildcard.model.name))

    def find(self, name: str) -> Model | None:
        """Return the model for a name that no model has in whole; None if no wildcard is for it."""
        for wildcard in self.made:
            model = wildcard.find(name)
            if model is not None:
                return model
        return None

    @property
    def models(self) -> list[Model]:
        """The wildcards as compiled."""
        return [wildcard.model for wildcard in self.made]
