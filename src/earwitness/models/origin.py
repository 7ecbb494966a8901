"""Where a model that others trained comes from, and what it was understood to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A model of others by its name, what tells it from others, and what makes it the same again.

    Parameters
    ----------
    spec
        What one types for it, with an absolute path.
    path
        The file or folder that holds it; ``""`` for code that lies in none.
    sha256
        Of that file; of a folder, of all its files.
    weights_sha256
        Of the weights that a user's code gives; ``""`` where there are none to be seen.
    description
        What it takes and answers, in the words of :class:`earwitness.models.foreign.description.Description`.
    """

    spec: str
    path: str
    sha256: str
    weights_sha256: str
    description: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Origin:
        """Return what :meth:`as_dict` gave.

        Raises
        ------
        KeyError, TypeError
            Something is missing.
        """
        words = ("spec", "path", "sha256", "weights_sha256")
        return cls(**{name: str(stored[name]) for name in words}, description=dict(stored["description"]))
