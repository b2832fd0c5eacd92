import sys
from pathlib import Path

# Small studies are the same as in the tests of studies.
sys.path.insert(0, str(Path(__file__).parents[1] / "study"))
