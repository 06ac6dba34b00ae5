"""MODEL arguments of the smallest checkpoint folders."""
import harness

TINY = [harness.folder("tiny"), "--load-format", "dummy"]
RERANKER = [harness.folder("tiny", "reranker"), "--load-format", "dummy"]
