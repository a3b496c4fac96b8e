"""`python -m exporters`; `framewire models` calls it too."""

from __future__ import annotations

import os
import sys

from exporters.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], name=os.environ.get("FRAMEWIRE_PROGRAM", "python -m exporters")))
