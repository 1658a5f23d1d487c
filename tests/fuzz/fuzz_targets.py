"""What is fuzzed: every place where bytes of somebody else are read, each as one function over bytes.

A target returns, or it has found a bug: whatever the bytes are, the code under test answers with its one error type,
and what honest neighbours have is as it was. A first byte says where the rest goes, for targets that have several
doors. `test_fuzz.py` runs them with generated and with kept input, `fuzz.py` for minutes, guided by coverage.
"""

import fuzz_credentials
import fuzz_files
import fuzz_links
from fuzz_parts import Target

__all__ = ["TARGETS", "Target"]

TARGETS = {**fuzz_links.TARGETS, **fuzz_credentials.TARGETS, **fuzz_files.TARGETS}
