"""The Python package over the library of the build folder."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PACKAGE = os.path.join(ROOT, "python")
sys.path[:0] = [PACKAGE, HERE, os.path.join(ROOT, "tests", "golden")]

import harness  # noqa: E402

os.environ.setdefault("QVEC_LIBRARY", os.path.join(harness.BUILD, "src", "libqvec.so.0"))
# For the processes that tests start.
os.environ["PYTHONPATH"] = os.pathsep.join([PACKAGE, *filter(None, [os.environ.get("PYTHONPATH")])])

import qvec  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "resident: measures memory, so no build with a sanitizer")
    config.addinivalue_line("markers", "by_hand: takes minutes, so only with -m by_hand")


def pytest_collection_modifyitems(config, items):
    if not config.option.markexpr:
        left = [item for item in items if item.get_closest_marker("by_hand")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def asset(name):
    return os.path.join(harness.ASSETS, name)


@pytest.fixture(scope="session")
def embedder():
    return qvec.Embedder(harness.folder("tiny"), load_format="dummy")


@pytest.fixture(scope="session")
def reranker():
    return qvec.Reranker(harness.folder("tiny", "reranker"), load_format="dummy")
