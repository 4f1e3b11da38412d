"""How the signals of each kind are shown on pages."""

from __future__ import annotations

from vocabula.reports.views.base import View
from vocabula.roles import Role

VIEWS = Role[type[View]](
    "view",
    {
        "audio": "vocabula.reports.views.audio:AudioView",
        "image": "vocabula.reports.views.image:ImageView",
        "vector": "vocabula.reports.views.vector:VectorView",
    },
    default="vocabula.reports.views.base:View",
)
"""The view of each kind of signal; tables of errors for a kind without its own."""

__all__ = ["VIEWS", "View"]
