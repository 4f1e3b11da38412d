from __future__ import annotations

import sys
from pathlib import Path

# So that spawned processes, too, find the rows: `conformance.rows`.
sys.path.insert(0, str(Path(__file__).parents[1]))
