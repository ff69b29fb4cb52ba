"""The sandbox's helpers, also when only this folder is run."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "sandbox"))
