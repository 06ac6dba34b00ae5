"""`LLM`: a script for vLLM's offline class with its import changed, and everything that such scripts hand in."""
import contextlib
import io
import os
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
from PIL import Image

import harness
import qvec
from conftest import asset

TINY = harness.folder("tiny")
MARK, CLIP = "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"

# The offline script of the guide to these models, word for word (docs of vllm-ascend, Apache-2.0).
SCRIPT = '''
import torch
from vllm import LLM

def get_detailed_instruct(task_description: str, query: str) -> str:
    return f'Instruct: {task_description}\\nQuery: {query}'


if __name__=="__main__":
    # Each query must come with a one-sentence instruction that describes the task
    task = 'Given a web search query, retrieve relevant passages that answer the query'

    queries = [
        get_detailed_instruct(task, 'What is the capital of China?'),
        get_detailed_instruct(task, 'Explain gravity')
    ]
    # No need to add instruction for retrieval documents
    documents = [
        "The capital of China is Beijing.",
        "Gravity is a force that attracts two bodies towards each other. It gives weight to physical objects and is responsible for the movement of planets around the sun."
    ]
    input_texts = queries + documents

    model = LLM(model="Qwen/Qwen3-VL-Embedding-8B",
                runner="pooling",
                distributed_executor_backend="mp")

    outputs = model.embed(input_texts)
    embeddings = torch.tensor([o.outputs.embedding for o in outputs])
    scores = (embeddings[:2] @ embeddings[2:].T)
    print(scores.tolist())
'''
# What the script asks of torch.
TORCH = "import numpy\n\n\ndef tensor(rows):\n    return numpy.array(rows, numpy.float32)\n"


def changed(module):
    """The script with its one line changed."""
    lines = SCRIPT.splitlines()
    lines[lines.index("from vllm import LLM")] = f"from {module} import LLM"
    assert sum(a != b for a, b in zip(lines, SCRIPT.splitlines())) == 1
    return "\n".join(lines) + "\n"


def run_script(folder, *, tqdm):
    """As a user does: a file, run by the interpreter, with the model in a hub cache, where the built-in one stands for it."""
    snapshot = folder / "hub" / "models--Qwen--Qwen3-VL-Embedding-8B" / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(qvec.Embedder().model)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0" * 40)
    (folder / "torch.py").write_text(TORCH)
    (folder / "offline.py").write_text(changed("qvec"))
    if not tqdm:
        (folder / "tqdm.py").write_text("raise ImportError\n")
    return subprocess.run([sys.executable, "offline.py"], cwd=folder, env={**os.environ, "HF_HOME": str(folder)},
                          capture_output=True, text=True, check=True)


@pytest.mark.parametrize("tqdm", [True, False])
def test_the_guides_script(tqdm, tmp_path):
    if tqdm:
        pytest.importorskip("tqdm")
    done = run_script(tmp_path, tqdm=tqdm)
    scores = np.array(eval(done.stdout))
    texts = [case["text"] for case in harness.stored("2b-guide")]
    vectors = qvec.Embedder().embed(texts, prompt="raw").astype(np.float64)
    assert scores.shape == (2, 2) and np.abs(scores - vectors[:2] @ vectors[2:].T).max() < 1e-6
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


def logit(probability):
    return np.log(probability / (1 - np.float64(probability)))


def test_parameters_of_scores(scorer, llm, reranker, embedder):
    def scores(model, documents=("Beijing", "Paris"), query="capital of China", **wishes):
        return [o.outputs.score for o in model.score(query, list(documents), use_tqdm=False, **wishes)]
    for off in ({"use_activation": False}, {"normalize": False}):
        params = qvec.PoolingParams(**off)
        assert scores(scorer, pooling_params=params) == reranker.score("capital of China", ["Beijing", "Paris"], logits=True).tolist()
        assert scores(scorer, query=["q", "p"], pooling_params=params) == [
            float(reranker.score(q, [d], logits=True)[0]) for q, d in zip("qp", ["Beijing", "Paris"])]
        assert scores(llm, pooling_params=params) == scores(llm)  # a cosine is one of vectors of any length
    assert np.allclose(scores(scorer, pooling_params=qvec.PoolingParams(use_activation=False)), logit(scores(scorer)), atol=1e-5)
    short = embedder.embed(["capital of China", "Beijing", "Paris"], prompt="raw", dimensions=8).astype(np.float64)
    cut = scores(llm, pooling_params=qvec.PoolingParams(dimensions=8))
    assert np.allclose(cut, short[1:] @ short[0], atol=1e-6) and cut != scores(llm)
    with pytest.raises(qvec.InvalidInput, match="dimensions is 8"):
        scores(scorer, pooling_params=qvec.PoolingParams(dimensions=8))
    long = ["Beijing " * 300, "Paris " * 300]
    for model, whole in ((scorer, scores(scorer, long)), (llm, scores(llm, long))):
        ways = [scores(model, long, **wishes) for wishes in (
            {"truncate_prompt_tokens": 100}, {"pooling_params": qvec.PoolingParams(truncate_prompt_tokens=100)},
            {"tokenization_kwargs": {"truncate_prompt_tokens": 100}},
            {"truncate_prompt_tokens": 100, "pooling_params": qvec.PoolingParams(truncate_prompt_tokens=50)})]
        assert ways[0] != whole and all(way == ways[0] for way in ways)
    assert scores(scorer, long, truncate_prompt_tokens=100) == reranker.score("capital of China", long, max_length=100).tolist()
    assert scores(llm, pooling_params=qvec.PoolingParams(task="score")) == scores(llm)
    for model in (scorer, llm):
        with pytest.raises(NotImplementedError, match="'token_embed'"):
            scores(model, pooling_params=qvec.PoolingParams(task="token_embed"))


@contextlib.contextmanager
def told():
    """The warnings of a block, as texts; each has to point at this file."""
    texts = []
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield texts
    texts += [str(w.message) for w in seen]
    assert all(w.filename == __file__ for w in seen)


def test_arguments_of_calls():
    """What changes nothing is told once, by name; what would change what a call does is refused."""
    model = qvec.LLM(TINY, load_format="dummy")
    odd = {"lora_request": object(), "tokenization_kwargs": {"padding": True, "truncate_prompt_tokens": 5}, "use_tqdm": False}
    with told() as first:
        model.embed("a", **odd)
    with told() as again:
        model.embed("a", **odd)
        model.encode("a", **odd)
        model.score("a", "b", **odd)
    with told() as more:
        model.score("a", "b", chat_template="{{ x }}", **odd)
        model.score("a", "b", chat_template="{{ x }}", **odd)
        model.embed("a", use_tqdm=False, tokenization_kwargs={"add_special_tokens": False})
    assert [text.split(" (")[0] for text in first] == ["not done by qvec: lora_request", "not done by qvec: padding of tokenization_kwargs"]
    assert again == [] and len(more) == 2 and "chat_template" in more[0] and "add_special_tokens" in more[1]
    with told() as other:
        qvec.LLM(TINY, load_format="dummy").encode("a", **odd)
    assert other == first
    assert model.embed("a", use_tqdm=False, pooling_params=qvec.PoolingParams(task="embed"))
    for task in ("token_embed", "classify"):
        with pytest.raises(NotImplementedError, match=f"{task!r}; this call's is 'embed'"):
            model.embed("a", use_tqdm=False, pooling_params=qvec.PoolingParams(task=task))


def test_arguments():
    with told() as texts:
        qvec.LLM(TINY, load_format="dummy", trust_remote_code=True, dtype="bfloat16", tensor_parallel_size=2, enforce_eager=True,
                 max_model_len=500, mm_processor_kwargs={"max_pixels": 20000}, seed=3)
    assert len(texts) == 1 and texts[0].endswith(": dtype, enforce_eager, seed, tensor_parallel_size, trust_remote_code")
    with pytest.raises(TypeError, match="trust_remote_cod'; is 'trust_remote_code' meant?"):
        qvec.LLM(TINY, load_format="dummy", trust_remote_cod=True)
    with pytest.raises(TypeError, match="max_model_length'; is 'max_model_len' meant?"):
        qvec.LLM(TINY, load_format="dummy", max_model_length=5)
    with pytest.raises(TypeError, match="has no argument 'zzz'$"):
        qvec.LLM(TINY, load_format="dummy", zzz=5)
    with pytest.raises(NotImplementedError, match="generate"):
        qvec.LLM(TINY, load_format="dummy", runner="generate")
    small = qvec.LLM(TINY, load_format="dummy", mm_processor_kwargs={"max_pixels": 20000, "min_pixels": 10000})
    [output] = small.embed({"prompt": MARK, "multi_modal_data": {"image": asset("base.jpg")}}, use_tqdm=False)
    want = qvec.Embedder(TINY, load_format="dummy").embed({"image": asset("base.jpg")}, prompt="raw", max_pixels=20000, min_pixels=10000)
    assert vector(output).tobytes() == want.tobytes()
    with pytest.raises(NotImplementedError):
        small.generate("a")


def test_arguments_of_newer_releases():
    """Names that came to vLLM's class after its 0.8, and those that mean something and are done otherwise here."""
    idle = ("allowed_media_domains attention_config enable_log_requests max_logprobs mm_encoder_tp_mode model_impl "
            "profiler_config served_model_name skip_mm_profiling use_tqdm_on_load").split()
    changed = dict(chat_template="x", config_format="mistral", enable_lora=True, hf_config_path="/x", media_io_kwargs={"video": {}},
                   revision="v2", tokenizer="other/name", mm_processor_kwargs={"size": {"longest_edge": 9}, "do_resize": False, "fps": 1})
    with told() as texts:
        qvec.LLM(TINY, load_format="dummy", **{name: "x" for name in idle}, **changed)
    [text] = texts
    without, otherwise = text.split("; not done by qvec: ")
    assert without == "without meaning in qvec: " + ", ".join(idle)
    for name in ("chat_template", "config_format", "enable_lora", "hf_config_path", "media_io_kwargs", "revision", "tokenizer"):
        assert f"{name} (" in otherwise, name
    assert "do_resize, size of mm_processor_kwargs (read are min_pixels, max_pixels, fps, max_frames)" in otherwise
    assert "refs/main" in otherwise and "model's own folder" in otherwise
    with told() as texts:  # asking for what is done anyway
        qvec.LLM(TINY, load_format="dummy", revision="main", tokenizer=TINY, enable_lora=False, hf_overrides={}, chat_template=None,
                 config_format="hf")
    assert texts == []


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


@pytest.fixture(scope="module")
def whole_2b():
    """The published 2B shape with weights by rule, 4.3 GB of them."""
    if available_memory() < 6 << 30:
        pytest.skip("less than 6 GB of memory is available")
    return qvec.LLM(harness.folder("2b"), load_format="dummy", runner="pooling")


def test_stored_answers_in_the_whole_2b_shape(whole_2b):
    cases = [c for c in harness.stored("2b-embed") if c["prompt"] == "raw"]
    assert len(cases) == 2
    for case, output in zip(cases, whole_2b.embed([c["text"] for c in cases], use_tqdm=False)):
        assert output.prompt_token_ids == case["ids"] and output.outputs.hidden_size == 2048
        harness.check_vector(output.outputs.embedding, case["embedding"])


def test_the_guides_matrix_in_the_whole_2b_shape(whole_2b, monkeypatch):
    """The guide's script prints the reference's numbers: its four prompts, their vectors, their four products."""
    answers, asked = harness.stored("2b-guide"), []

    class Watched:
        def __init__(self, model, runner, distributed_executor_backend):
            asked.append((model, runner, distributed_executor_backend))

        def embed(self, prompts):
            asked.append(prompts)
            outputs = whole_2b.embed(prompts, use_tqdm=False)
            for case, output in zip(answers, outputs):
                assert output.prompt_token_ids == case["ids"]
                harness.check_vector(output.outputs.embedding, case["embedding"])
            return outputs
    monkeypatch.setitem(sys.modules, "whole_2b", types.SimpleNamespace(LLM=Watched))
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
    exec(TORCH, sys.modules["torch"].__dict__)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(changed("whole_2b"), "offline.py", "exec"), {"__name__": "__main__"})
    assert asked == [("Qwen/Qwen3-VL-Embedding-8B", "pooling", "mp"), [case["text"] for case in answers]]
    vectors = np.array([case["embedding"] for case in answers])
    assert np.abs(np.array(eval(printed.getvalue())) - vectors[:2] @ vectors[2:].T).max() < 2e-5
