import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dump import Dump  # noqa: E402


@pytest.fixture(scope="session")
def dump():
    d = Dump()
    yield d
    d.close()
