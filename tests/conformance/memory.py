"""How much memory a call takes at once."""

from __future__ import annotations

from collections.abc import Callable

import torch


def largest_allocation(call: Callable[[], object]) -> int:
    """Bytes of the largest tensor that `call` allocates, also inside opaque operators."""
    with torch.profiler.profile(profile_memory=True, acc_events=True) as profile:
        call()
    events = profile.profiler.kineto_results.events()
    return max(event.nbytes() for event in events if event.name() == "[memory]")
