"""The full 2B shape with dummy weights (4.3 GB of memory): the stored answers through `qvec embed`."""
import pytest

import harness

NEEDED = 6 << 30


def available_memory():
    with open("/proc/meminfo", encoding="ascii") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("MemAvailable:"))


@pytest.fixture(scope="module")
def answers():
    if available_memory() < NEEDED:
        pytest.skip("less than 6 GB of memory is available")
    items = [harness.question(c) for c in harness.stored("2b-embed")]
    found = harness.run_lines("embed", harness.folder("2b"), items, "--echo", "ids,frames", timeout=900)
    return {a["id"]: a for a in found}


@pytest.mark.slow
@pytest.mark.parametrize("case", harness.stored("2b-embed"), ids=lambda c: c["id"])
def test_case(answers, case):
    answer = answers[case["id"]]
    assert "error" not in answer, answer["error"]
    assert answer["ids"] == case["ids"]
    assert answer.get("frames", []) == case["frames"]
    harness.check_vector(answer["embedding"], case["embedding"])
