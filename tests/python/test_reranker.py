"""`Reranker`: scores of `qvec rerank`, rankings and pairs."""
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import harness
import qvec
from conftest import asset

DOCUMENTS = ["Beijing", "Paris", {"text": "a picture", "image": asset("small.png")}, Path(asset("base.jpg"))]


def by_program(query, documents, **wishes):
    line = json.dumps({"query": query, "documents": documents, **wishes})
    done = subprocess.run([harness.QVEC, "rerank", harness.folder("tiny", "reranker"), "--load-format", "dummy", "-"],
                          input=line.encode(), capture_output=True, check=True)
    return np.array(json.loads(done.stdout)["scores"], np.float32)


def test_scores_of_the_program(reranker):
    want = by_program({"text": "capital of China"}, [{"text": "Beijing"}, {"text": "Paris"}, DOCUMENTS[2], {"image": asset("base.jpg")}])
    assert reranker.score("capital of China", DOCUMENTS).tobytes() == want.tobytes()
    told = by_program({"image": asset("small.png")}, [{"text": "Beijing"}], instruction="Find the same.")
    assert reranker.score(Path(asset("small.png")), ["Beijing"], instruction="Find the same.").tobytes() == told.tobytes()
    assert told[0] != reranker.score(Path(asset("small.png")), ["Beijing"])[0]


def test_logits(reranker):
    scores, logits = (reranker.score("q", DOCUMENTS, logits=l) for l in (False, True))
    assert np.allclose(scores, 1 / (1 + np.exp(-logits.astype(np.float64))), atol=1e-7)


def test_rank(reranker):
    scores = reranker.score("q", DOCUMENTS)
    ranking = reranker.rank("q", DOCUMENTS)
    assert [r["corpus_id"] for r in ranking] == sorted(range(4), key=lambda i: -scores[i])
    assert all(r["score"] == float(scores[r["corpus_id"]]) for r in ranking) and "text" not in ranking[0]
    assert reranker.rank("q", iter(DOCUMENTS), top_k=2, return_documents=True) == [
        {**r, "text": DOCUMENTS[r["corpus_id"]]} for r in ranking[:2]]
    assert [r["corpus_id"] for r in reranker.rank("q", ["same"] * 4)] == [0, 1, 2, 3]
    assert reranker.rank("q", []) == [] and reranker.score("q", []).shape == (0,)


def test_predict(reranker):
    pairs = [("q", "a"), ("p", "a"), ("q", "b"), (Path(asset("small.png")), "a")]
    scores = reranker.predict(pairs)
    assert scores.dtype == np.float32 and scores.tolist() == [float(reranker.score(q, [d])[0]) for q, d in pairs]
    assert reranker.predict(("q", "a")) == scores[0] == reranker.predict(["q", "a"])
    assert reranker.predict([]).shape == (0,)
    with pytest.raises(qvec.InvalidInput, match="pair 1"):
        reranker.predict([("q", "a"), ("q", "a", "b")])


def test_failures(reranker, embedder):
    with pytest.raises(qvec.MediaError) as e:
        reranker.score("q", ["a", b"x"])
    assert e.value.index == 1 and str(e.value).startswith("document 1: ")
    with pytest.raises(qvec.MediaError, match="query"):
        reranker.score(b"x", ["a"])
    folder = harness.folder("tiny", "reranker")
    with pytest.raises(qvec.WrongTask):
        qvec.Embedder(folder, load_format="dummy").embed("a")
    with pytest.raises(qvec.WrongTask):
        qvec.Reranker(harness.folder("tiny"), load_format="dummy").score("a", ["b"])
