"""`Embedder`: every kind of item, the bytes of `qvec embed`, and the forms that a result comes in."""
import json
import pickle
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import harness
import qvec
from conftest import asset
from qvec import _pixels

TINY = [harness.folder("tiny"), "--load-format", "dummy"]
PICTURES = ["base.jpg", "cmyk.jpg", "gray.jpg", "gray16.png", "la.png", "one_bit.png", "palette.png", "palette_alpha.png",
            "rgba.png", "alpha.webp", "lossy.webp", "plain.bmp", "progressive.jpg", "small.png", "still.gif"]


def by_program(items):
    lines = "".join(json.dumps(item) + "\n" for item in items)
    done = subprocess.run([harness.QVEC, "embed", *TINY, "-"], input=lines.encode(), cwd=harness.ASSETS, capture_output=True, check=True)
    return np.array([json.loads(line)["embedding"] for line in done.stdout.splitlines()], np.float32)


ITEMS = [
    {"text": "a dog on a beach"}, {"text": "日本語 émoji 🐕"}, {"text": ""}, {"image": "small.png"}, {"image": "base.jpg"},
    {"text": "a mixture", "image": "rgba.png"}, {"image": ["small.png", "gray.jpg"], "text": ["two", "texts"]},
    {"video": ["frame0.png", "frame1.png", "frame2.png"]}, {"video": "lossless_rgb.mkv", "max_frames": 4},
    {"text": "other wishes", "instruction": "Find it."}, {"text": "raw", "prompt": "raw"},
    {"text": "natural length", "normalize": False}, {"image": "base.jpg", "max_pixels": 20000, "min_pixels": 10000},
    {"image": "exif6.jpg", "apply_orientation": True}, {"text": "cut " * 200, "max_length": 90},
]


def absolute(item):
    def at(value):
        return [at(v) for v in value] if isinstance(value, list) else asset(value)
    return {k: at(v) if k in ("image", "video") else v for k, v in item.items()}


def test_bytes_of_the_program(embedder):
    assert embedder.embed([absolute(item) for item in ITEMS]).tobytes() == by_program(ITEMS).tobytes()


def test_wishes_of_the_call_are_those_of_the_item(embedder):
    for item in ITEMS:
        content = {k: v for k, v in absolute(item).items() if k in ("text", "image", "video")}
        wishes = {k: v for k, v in item.items() if k not in content}
        assert embedder.embed(content, **wishes).tobytes() == embedder.embed(absolute(item)).tobytes()


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_in_any_form(embedder, name):
    path, image = Path(asset(name)), Image.open(asset(name))
    data = path.read_bytes()
    vectors = embedder.embed([path, {"image": str(path)}, data, {"image": bytearray(data)}, image, {"image": image}])
    assert len({v.tobytes() for v in vectors}) == 1


def test_arrays(embedder):
    rgb = np.asarray(Image.open(asset("small.png")).convert("RGB"))
    want = embedder.embed(Path(asset("small.png")))
    strided = np.zeros((2 * rgb.shape[0], *rgb.shape[1:]), np.uint8)
    strided[::2] = rgb
    for form in (rgb, strided[::2], np.asfortranarray(rgb)):
        assert embedder.embed(form).tobytes() == want.tobytes()
    grey = rgb[..., 0].copy()
    pictures = [grey, grey[..., None], np.repeat(grey[..., None], 3, axis=2), Image.fromarray(grey)]
    assert len({v.tobytes() for v in embedder.embed(pictures)}) == 1
    frames = [np.asarray(Image.open(asset(f"frame{i}.png")).convert("RGB")) for i in range(3)]
    files = [asset(f"frame{i}.png") for i in range(3)]
    assert embedder.embed({"video": np.stack(frames)}).tobytes() == embedder.embed({"video": files}).tobytes()
    with pytest.raises(qvec.InvalidInput, match="float64"):
        embedder.embed({"image": rgb / 255.0})
    with pytest.raises(qvec.InvalidInput, match=r"shape \(4, 4, 7\)"):
        embedder.embed([np.zeros((4, 4, 7), np.uint8)])


def test_alpha_is_pillows(embedder):
    colour, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    rgba = np.stack([colour, 255 - colour, colour, alpha], axis=-1)
    image = Image.fromarray(rgba, "RGBA") if Image.__version__ < "13" else Image.fromarray(rgba)
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image.split()[3])
    assert (_pixels.over_white(rgba) == np.asarray(white)).all()


def test_orientation_of_a_pil_image(embedder):
    image, path = Image.open(asset("exif6.jpg")), Path(asset("exif6.jpg"))
    turned = embedder.embed([image, path], apply_orientation=True)
    lying = embedder.embed([image, path])
    assert turned[0].tobytes() == turned[1].tobytes() != lying[0].tobytes() == lying[1].tobytes()


def test_videos(embedder):
    path = Path(asset("lossless_rgb.mkv"))
    vectors = [embedder.embed(item, max_frames=4) for item in (path, {"video": path}, {"video": str(path)}, {"video": path.read_bytes()})]
    assert len({v.tobytes() for v in vectors}) == 1
    pair = [[asset("frame0.png")], [asset("frame1.png"), asset("frame2.png")]]
    assert embedder.embed({"video": pair}).tobytes() != embedder.embed({"video": pair[1]}).tobytes()


def test_tokens_and_parts(embedder):
    ids = embedder.tokenize("token ids are embedded as given", special=True)
    assert ids[:-1] == embedder.tokenize("token ids are embedded as given") and len(ids) > 4
    assert embedder.embed({"tokens": ids}).tobytes() == embedder.embed("token ids are embedded as given", prompt="raw").tobytes()
    assert embedder.tokenize("") == []
    parts = [("text", "before"), ("image", asset("small.png")), ("text", "after")]
    raw = embedder.embed({"parts": parts}, prompt="raw")
    assert raw.tobytes() != embedder.embed({"parts": parts[::-1]}, prompt="raw").tobytes()


# ---- forms of the result

def test_shapes_and_dimensions(embedder):
    assert embedder.dimensions == embedder.get_sentence_embedding_dimension() == 64
    whole = embedder.embed(["a", "b"])
    assert whole.dtype == np.float32 and whole.shape == (2, 64) and whole.flags.c_contiguous
    assert np.allclose(np.linalg.norm(whole, axis=1), 1)
    cut = embedder.embed(["a", "b"], dimensions=16)
    assert cut.shape == (2, 16) and np.allclose(cut, whole[:, :16] / np.linalg.norm(whole[:, :16], axis=1, keepdims=True))
    assert embedder.embed([]).shape == (0, 64) and embedder.embed([], dimensions=8).shape == (0, 8)
    assert embedder.embed(iter(["a"])).tobytes() == embedder.embed(("a",)).tobytes() == embedder.embed("a").tobytes()
    assert embedder.embed([{"text": "a", "dimensions": 16}]).shape == (1, 16)
    with pytest.raises(qvec.InvalidInput, match="16 and 64"):
        embedder.embed([{"text": "a", "dimensions": 16}, "b"])
    for wrong in (65, -1, 2**40, 1.5, "8"):
        with pytest.raises(qvec.InvalidInput, match="dimensions"):
            embedder.embed(["a"], dimensions=wrong)


def test_out(embedder):
    want, big = embedder.embed(["a", "b", "c"]), np.full((7, 100), -7, np.float32)
    out = big[1::2, 3:67]
    assert embedder.embed(["a", "b", "c"], out=out) is out
    assert (out == want).all()
    big[1::2, 3:67] = -7
    assert (big == -7).all()
    frozen = np.zeros((3, 64), np.float32)
    frozen.flags.writeable = False
    for wrong in (np.zeros((3, 64)), np.zeros((2, 64), np.float32), np.zeros((64, 3), np.float32).T, frozen,
                  np.zeros((3, 64), np.float32)[::-1]):
        with pytest.raises(qvec.InvalidInput, match="out must be"):
            embedder.embed(["a", "b", "c"], out=wrong)


def test_encode(embedder):
    texts = ["red shoes", "blue hats"]
    official = embedder.embed(texts)
    assert (embedder.encode(texts) == official).all() and (embedder.encode(texts[0]) == official[0]).all()
    query = embedder.embed(texts, instruction=qvec.PROMPTS["query"])
    assert (embedder.encode(texts, prompt_name="query") == query).all() and (embedder.encode_query(texts) == query).all()
    assert (embedder.encode(texts, prompt=qvec.PROMPTS["query"], batch_size=1, device="cpu") == query).all()
    assert (embedder.encode_document(texts) == official).all() and (query != official).any()
    assert (embedder.encode(texts, truncate_dim=8) == embedder.embed(texts, dimensions=8)).all()
    assert (embedder.encode(texts, normalize_embeddings=False) == embedder.embed(texts, normalize=False)).all()
    assert isinstance(embedder.encode(texts, convert_to_numpy=False), list)
    with pytest.raises(qvec.InvalidInput, match="no_such"):
        embedder.encode(texts, prompt_name="no_such")
    with pytest.raises(qvec.InvalidInput, match="int8"):
        embedder.encode(texts, precision="int8")


def test_similarity(embedder):
    a, b = embedder.encode(["x", "y", "z"]), embedder.encode(["x", "w"], normalize_embeddings=False)
    found = embedder.similarity(a, b)
    assert found.shape == (3, 2) and abs(found[0, 0] - 1) < 1e-6
    assert embedder.similarity(a[0], b).shape == (1, 2)


def test_stream(embedder):
    texts = [f"text {i}" for i in range(150)]
    read = []

    def source():
        for text in texts:
            read.append(text)
            yield text
    stream = embedder.stream(source())
    first = next(stream)
    assert len(read) < 150  # not everything is read before the first answer
    assert np.vstack([first, *stream]).tobytes() == embedder.embed(texts).tobytes()
    items = ["a", {"image": "/none.png"}, "b", b"no picture"]
    found = list(embedder.stream(items, on_error="yield"))
    assert [isinstance(f, qvec.MediaError) for f in found] == [False, True, False, True] and found[3].index == 3
    assert found[2].tobytes() == embedder.embed("b").tobytes()
    stream = embedder.stream(["x"] * 70 + items)
    for _ in range(71):
        next(stream)
    with pytest.raises(qvec.MediaError) as e:
        next(stream)
    assert e.value.index == 71
    with pytest.raises(qvec.InvalidInput):
        next(embedder.stream([], on_error="ignore"))


def test_progress(embedder, capsys):
    embedder.embed(["a", "b"], progress=True)
    assert "2/2" in capsys.readouterr().err


def test_a_bare_url_is_warned_about(embedder):
    for text in ("https://example.com/dog.jpg", "data:image/png;base64,AAAA"):
        with pytest.warns(UserWarning, match="embedded as text"):
            embedder.embed([text])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedder.embed(["see https://example.com/dog.jpg for more", "https://example.com/"])


# ---- the model

def test_facts_and_life():
    with qvec.Embedder(harness.folder("tiny"), load_format="dummy:3", threads=1, max_model_len=77, cpu_tier="c") as e:
        assert (e.threads, e.max_model_len, e.cpu_tier) == (1, 77, "c") and e.model == harness.folder("tiny")
        assert harness.folder("tiny") in repr(e)
        vector = e.embed("pickled")
        twin = pickle.loads(pickle.dumps(e))
        assert twin.threads == 1 and twin.embed("pickled").tobytes() == vector.tobytes()
    e.close()
    with pytest.raises(qvec.InvalidInput, match="closed"):
        e.embed("a")


def test_the_builtin_models():
    embedder, reranker = qvec.Embedder(), qvec.Reranker()
    line = subprocess.run([harness.QVEC, "embed", "--text", "hello"], capture_output=True, check=True).stdout
    assert np.array(json.loads(line)["embedding"], np.float32).tobytes() == embedder.embed("hello").tobytes()
    line = subprocess.run([harness.QVEC, "rerank", "--query", "hello", "--document", "world"], capture_output=True, check=True).stdout
    assert np.float32(json.loads(line)["scores"][0]) == reranker.score("hello", ["world"])[0]
