"""`LLM`: a script for vLLM's offline class with its import changed, and everything that such scripts hand in."""
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

import harness
import qvec
from conftest import asset

TINY = harness.folder("tiny")
MARK, CLIP = "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"

# As the models' guides have it, with numpy in torch's place.
SCRIPT = '''
import numpy as np
from vllm import LLM

def get_detailed_instruct(task_description: str, query: str) -> str:
    return f'Instruct: {task_description}\\nQuery: {query}'

task = 'Given a web search query, retrieve relevant passages that answer the query'
queries = [get_detailed_instruct(task, 'What is the capital of China?'), get_detailed_instruct(task, 'Explain gravity')]
documents = ["The capital of China is Beijing.",
             "Gravity is a force that attracts two bodies towards each other. It gives weight to physical objects and is "
             "responsible for the movement of planets around the sun."]
input_texts = queries + documents

model = LLM(model=MODEL, runner="pooling", distributed_executor_backend="mp")
outputs = model.embed(input_texts)
embeddings = np.array([o.outputs.embedding for o in outputs])
scores = embeddings[:2] @ embeddings[2:].T
print(scores.tolist())
'''


def run_script(*, tqdm):
    script = SCRIPT.replace("from vllm import LLM", "from qvec import LLM").replace("MODEL", repr(qvec.Embedder().model))
    hide = "" if tqdm else "import sys; sys.modules['tqdm'] = sys.modules['tqdm.auto'] = None\n"
    return subprocess.run([sys.executable, "-c", hide + script], capture_output=True, text=True, check=True)


@pytest.mark.parametrize("tqdm", [True, False])
def test_the_guides_script(tqdm):
    if tqdm:
        pytest.importorskip("tqdm")
    done = run_script(tqdm=tqdm)
    scores = np.array(eval(done.stdout))
    assert scores.shape == (2, 2) and (abs(scores) <= 1.00001).all()
    texts = ["Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: Explain gravity",
             "The capital of China is Beijing."]
    a, b = qvec.Embedder().embed(texts, prompt="raw").astype(np.float64)
    assert abs(scores[1][0] - a @ b) < 1e-6
    bars = [line for line in done.stderr.replace("\r", "\n").splitlines() if "100%" in line]
    assert bars[0].startswith("Adding requests: 100%|") and "4/4" in bars[0]
    assert any(line.startswith("Processed prompts: 100%|") and "toks/s, output: 0.00 toks/s" in line for line in bars)
    assert done.stderr.count("UserWarning") == 1 and "distributed_executor_backend" in done.stderr


@pytest.fixture(scope="module")
def llm():
    return qvec.LLM(TINY, load_format="dummy", runner="pooling")


@pytest.fixture(scope="module")
def scorer():
    return qvec.LLM(harness.folder("tiny", "reranker"), load_format="dummy", runner="pooling")


def vector(output):
    return np.array(output.outputs.embedding, np.float32)


def test_prompts_are_raw(llm, embedder):
    outputs = llm.embed(["a text", "", "another"], use_tqdm=False)
    assert np.array([vector(o) for o in outputs]).tobytes() == embedder.embed(["a text", "", "another"], prompt="raw").tobytes()
    assert [o.request_id for o in outputs] == ["0", "1", "2"] and all(o.finished for o in outputs)
    assert outputs[0].prompt_token_ids == embedder.tokenize("a text", special=True)
    assert outputs[0].outputs.hidden_size == 64 and type(outputs[0].outputs.embedding[0]) is float
    for form in ("a text", {"prompt": "a text"}, {"prompt_token_ids": embedder.tokenize("a text", special=True)},
                 embedder.tokenize("a text", special=True)):
        [one] = llm.embed(form, use_tqdm=False)
        assert vector(one).tobytes() == vector(outputs[0]).tobytes() and one.prompt_token_ids == outputs[0].prompt_token_ids
    assert llm.embed([], use_tqdm=False) == []


def test_params(llm, embedder):
    [cut] = llm.embed("a text", use_tqdm=False, pooling_params=qvec.PoolingParams(dimensions=8))
    assert vector(cut).tobytes() == embedder.embed("a text", prompt="raw", dimensions=8).tobytes()
    each = llm.embed(["a", "b"], use_tqdm=False, pooling_params=[qvec.PoolingParams(normalize=False), qvec.PoolingParams(dimensions=8)])
    assert vector(each[0]).tobytes() == embedder.embed("a", prompt="raw", normalize=False).tobytes()
    assert len(each[1].outputs.embedding) == 8
    long = "word " * 100
    [short] = llm.embed(long, use_tqdm=False, truncate_prompt_tokens=10)
    assert vector(short).tobytes() == embedder.embed(long, prompt="raw", max_length=10).tobytes()
    [whole] = llm.embed(long, use_tqdm=False, truncate_prompt_tokens=-1)
    assert vector(whole).tobytes() == embedder.embed(long, prompt="raw").tobytes()
    [data] = llm.encode("a text", use_tqdm=False)
    assert data.outputs.data.tobytes() == embedder.embed("a text", prompt="raw").tobytes()
    with pytest.raises(qvec.InvalidInput, match="2 prompts and 1"):
        llm.embed(["a", "b"], use_tqdm=False, pooling_params=[qvec.PoolingParams()])


def test_multi_modal_data(llm, embedder):
    path = asset("small.png")
    want = embedder.embed({"parts": [("text", "before "), ("image", path), ("text", " after")]}, prompt="raw")
    image = Image.open(path)
    for form in (image, np.asarray(image.convert("RGB")), path, open(path, "rb").read(), [image]):
        [output] = llm.embed({"prompt": f"before {MARK} after", "multi_modal_data": {"image": form}}, use_tqdm=False)
        assert vector(output).tobytes() == want.tobytes() and output.prompt_token_ids is None
    frames = [Image.open(asset(f"frame{i}.png")).convert("RGB") for i in range(4)]
    clips = [frames, np.stack([np.asarray(frame) for frame in frames])]
    want = embedder.embed({"parts": [("video", frames), ("image", path), ("text", "t")]}, prompt="raw")
    for clip in clips:
        [output] = llm.embed({"prompt": f"{CLIP}{MARK}t", "multi_modal_data": {"image": image, "video": clip}}, use_tqdm=False)
        assert vector(output).tobytes() == want.tobytes()
    two = {"prompt": CLIP + CLIP, "multi_modal_data": {"video": [clips[1][:2], clips[1][2:]]}}
    assert vector(llm.embed(two, use_tqdm=False)[0]).shape == (64,)
    for prompt in ("no place", MARK + MARK):
        with pytest.raises(qvec.InvalidInput, match="1 images for"):
            llm.embed({"prompt": prompt, "multi_modal_data": {"image": image}}, use_tqdm=False)
    with pytest.raises(qvec.InvalidInput, match="audio"):
        llm.embed({"prompt": "x", "multi_modal_data": {"audio": b""}}, use_tqdm=False)


def test_scores_of_a_reranker(scorer, reranker):
    documents = ["Beijing", "Paris"]
    scores = [o.outputs.score for o in scorer.score("capital of China", documents, use_tqdm=False)]
    assert scores == reranker.score("capital of China", documents).tolist()
    pairs = [o.outputs.score for o in scorer.score(["q", "p"], documents, use_tqdm=False)]
    assert pairs == [float(reranker.score(q, [d])[0]) for q, d in zip("qp", documents)]
    content = {"content": [{"type": "text", "text": "a picture"}, {"type": "image_url", "image_url": {"url": asset("small.png")}}]}
    [mixed] = scorer.score("q", content, use_tqdm=False)
    assert mixed.outputs.score == reranker.score("q", [{"text": "a picture", "image": asset("small.png")}])[0]
    assert scorer.score("q", [], use_tqdm=False) == []
    with pytest.raises(qvec.InvalidInput, match="2 against 3"):
        scorer.score(["a", "b"], ["c", "d", "e"], use_tqdm=False)
    with pytest.raises(qvec.InvalidInput, match="nothing is fetched"):
        scorer.score("q", {"content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}, use_tqdm=False)
    with pytest.raises(qvec.WrongTask):
        scorer.embed("a", use_tqdm=False)


def test_scores_of_an_embedder_are_cosines(llm, embedder):
    vectors = embedder.embed(["a", "b", "c"], prompt="raw").astype(np.float64)
    scores = [o.outputs.score for o in llm.score("a", ["b", "c"], use_tqdm=False)]
    assert np.allclose(scores, vectors[1:] @ vectors[0], atol=1e-6)


def test_arguments():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        qvec.LLM(TINY, load_format="dummy", trust_remote_code=True, dtype="bfloat16", tensor_parallel_size=2, enforce_eager=True,
                 max_model_len=500, mm_processor_kwargs={"max_pixels": 20000}, seed=3)
    assert len(seen) == 1 and "dtype, enforce_eager, seed, tensor_parallel_size, trust_remote_code" in str(seen[0].message)
    with pytest.raises(TypeError, match="trust_remote_cod'"):
        qvec.LLM(TINY, load_format="dummy", trust_remote_cod=True)
    with pytest.raises(NotImplementedError, match="generate"):
        qvec.LLM(TINY, load_format="dummy", runner="generate")
    small = qvec.LLM(TINY, load_format="dummy", mm_processor_kwargs={"max_pixels": 20000, "min_pixels": 10000})
    [output] = small.embed({"prompt": MARK, "multi_modal_data": {"image": asset("base.jpg")}}, use_tqdm=False)
    want = qvec.Embedder(TINY, load_format="dummy").embed({"image": asset("base.jpg")}, prompt="raw", max_pixels=20000, min_pixels=10000)
    assert vector(output).tobytes() == want.tobytes()
    with pytest.raises(NotImplementedError):
        small.generate("a")


def test_stored_answers_of_the_reference():
    """Raw prompts of the golden files, through LLM: the reference's numbers."""
    model = qvec.LLM(TINY, load_format="dummy:0", runner="pooling")
    cases = [c for c in harness.stored("tiny-embed") if c["prompt"] == "raw" and set(c) == {"id", "task", "prompt", "text", "ids", "frames", "embedding"}]
    assert len(cases) > 15
    for case, output in zip(cases, model.embed([c["text"] for c in cases], use_tqdm=False)):
        assert output.prompt_token_ids == case["ids"], case["id"]
        harness.check_vector(output.outputs.embedding, case["embedding"])


def available_memory():
    with open("/proc/meminfo", encoding="ascii") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("MemAvailable:"))


@pytest.mark.skipif(available_memory() < 6 << 30, reason="less than 6 GB of memory is available")
def test_stored_answers_in_the_whole_2b_shape():
    model = qvec.LLM(harness.folder("2b"), load_format="dummy", runner="pooling")
    cases = [c for c in harness.stored("2b-embed") if c["prompt"] == "raw"]
    assert len(cases) == 2
    for case, output in zip(cases, model.embed([c["text"] for c in cases], use_tqdm=False)):
        assert output.prompt_token_ids == case["ids"] and output.outputs.hidden_size == 2048
        harness.check_vector(output.outputs.embedding, case["embedding"])
