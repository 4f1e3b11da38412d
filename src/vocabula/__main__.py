"""``python -m vocabula``: the command line, also under ``torchrun -m vocabula``."""

from __future__ import annotations

from vocabula.cli.main import main

if __name__ == "__main__":
    main()
