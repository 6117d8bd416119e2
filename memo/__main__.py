"""``python -m memo``: the memo command, for whoever has no scripts folder on the path."""

from __future__ import annotations

import sys

from memo.cli import main

if __name__ == "__main__":
    sys.exit(main())
