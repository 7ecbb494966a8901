"""A classifier prepared for explaining: a network of its own to work on, and what was found out about it so far.

Methods hook modules, let them answer something else and measure which copy of the network is the fastest. None of this
is done to the caller's network, and none of it is remembered anywhere but in the object that the caller holds:

>>> from earwitness.explainers.registry import parse
>>> from earwitness.explainers.inference.prepared import Prepared
>>> prepared = Prepared(classifier)                                         # doctest: +SKIP
>>> parse("gradcam").attribute(prepared, segments, targets)                 # doctest: +SKIP
>>> parse("lime").attribute(prepared, segments, targets)                    # doctest: +SKIP

A method that gets a plain classifier prepares it for that one call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

from earwitness.core.device import without_tf32
from earwitness.explainers.inference.fingerprint import Seal
from earwitness.explainers.inference.fused import convolutions, frozen_copy
from earwitness.explainers.inference.modules import evaluation_mode, parts
from earwitness.models.protocols import Explainable, ExplainableFrontEnd

T = TypeVar("T")


class Prepared:
    """A classifier prepared for explaining; one thread at a time works with it, others wait.

    ``network`` is a copy of the classifier's in evaluation mode that shares its weights and asks no gradients of them.
    A network that cannot be copied (one compiled by ``torch.jit``, or whose ``forward`` somebody has replaced) is
    worked on itself, and given back as it was after each call.

    Parameters
    ----------
    classifier
        Its network may change: a change is noticed before each use, and what was known of it is found out anew.
    lasting
        Whether more than one call is expected, so that costly preparations pay which one call would not.
    """

    def __init__(self, classifier: Explainable, *, lasting: bool = True) -> None:
        self.classifier, self.lasting = classifier, lasting
        self._lock = threading.RLock()
        self._begin()

    def _begin(self) -> None:
        self._seal = Seal(self.classifier.network)
        self._network = _own(self.classifier.network)
        self._convolved = sum(module.weight.numel() for module in convolutions(self._network))
        self._known: dict[Hashable, tuple[Any, Any]] = {}

    @property
    def network(self) -> nn.Module:
        """The network to work on."""
        return self._network

    @property
    def convolved(self) -> int:
        """How many weights its convolutions have."""
        return self._convolved

    @property
    def front_end(self) -> ExplainableFrontEnd:
        """The classifier's front end."""
        return self.classifier.front_end

    @property
    def classes(self) -> tuple[str, ...]:
        """The classifier's class names."""
        return self.classifier.classes

    @property
    def activation(self) -> str:
        """The classifier's activation."""
        return self.classifier.activation

    @property
    def device(self) -> torch.device | str:
        """Where the weights are."""
        return self.classifier.device

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold the network in evaluation mode, outside inference mode and TF32, and keep other threads off it."""
        with self._lock, torch.inference_mode(False), without_tf32(self.device):
            # What a weight has learned since matters to what was found out about the network alone: weights are shared.
            same = self._seal.holds if self._known else self._seal.fits
            if not same(self.classifier.network):
                self._begin()
            if self._network is not self.classifier.network:
                yield
                return
            with evaluation_mode(self._network):
                yield

    def once(self, kind: Hashable, about: object, make: Callable[[], T]) -> T:
        """Return what was found out before, or find it out.

        Parameters
        ----------
        kind
            What it is.
        about
            What it was found out for, such as a size of segments; of each kind only the last is kept.
        make
            Finds it out.
        """
        known = self._known.get(kind)
        if not self._known:
            self._seal = Seal(self.classifier.network)  # of the weights as they are now
        if known is None or known[0] != about:
            known = self._known[kind] = (about, make())
        found: T = known[1]
        return found


def prepare(classifier: Explainable) -> Prepared:
    """Return a classifier prepared for explaining: itself, where it is that already."""
    return classifier if isinstance(classifier, Prepared) else Prepared(classifier)


@contextmanager
def working(classifier: Explainable) -> Iterator[Prepared]:
    """Prepare a classifier for one call, unless it is prepared already, and open :meth:`Prepared.working`."""
    prepared = classifier if isinstance(classifier, Prepared) else Prepared(classifier, lasting=False)
    with prepared.working():
        yield prepared


def _own(network: nn.Module) -> nn.Module:
    """Return a copy to work on, or the network itself where it cannot be copied."""
    if any(isinstance(module, torch.jit.ScriptModule) or "forward" in module.__dict__ for module in parts(network)):
        return network
    try:
        with torch.inference_mode(False):
            return frozen_copy(network).eval()
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError):
        return network
