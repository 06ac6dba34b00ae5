"""JSON Lines in and out: what is carried, what is refused, what each answer holds."""
import base64
import json
import math
import os
import shutil

import numpy as np
import pytest

import harness
from models import RERANKER, TINY


def lines(done):
    return [json.loads(line) for line in done.out.splitlines()]


def embed(qvec, items, *flags, **options):
    text = "".join((i if isinstance(i, str) else json.dumps(i)) + "\n" for i in items)
    return qvec("embed", *TINY, *flags, "-", text=text, **options)


def test_answer(qvec):
    answer, = lines(embed(qvec, [{"id": "a", "text": "hello world"}]))
    assert list(answer) == ["id", "embedding", "tokens", "prompt", "truncated"]
    assert (answer["id"], answer["tokens"], answer["prompt"], answer["truncated"]) == ("a", 22, "official", False)
    assert math.isclose(math.hypot(*answer["embedding"]), 1, rel_tol=1e-6)


def test_what_is_not_known_is_carried_untouched(qvec):
    raw = '{"url" : "http:\\/\\/a", "id": 18446744073709551615, "n": 1.10, "list": [1, {"b":  "}"}], "text": "x", "\\u00e9": null}'
    done = embed(qvec, [raw])
    assert done.out.startswith('{"id":18446744073709551615, "url":"http:\\/\\/a", "n":1.10, "list":[1, {"b":  "}"}], "\\u00e9":null, "embedding":')
    assert done.err == ""


def test_answers_win_over_carried_names(qvec):
    answer, = lines(embed(qvec, ['{"id":1,"text":"x","embedding":[1],"tokens":"many","truncated":9,"error":0}']))
    assert len(answer["embedding"]) == 64 and answer["tokens"] > 10 and "error" not in answer


def test_items_without_id_get_their_number(qvec):
    assert [a["id"] for a in lines(embed(qvec, [{"text": "a"}, "", {"text": "b", "id": None}, "  \r", {"text": "c", "id": {"x": 1}}]))] \
        == [0, 1, {"x": 1}]


def test_typing_errors_are_warned_about_once(qvec):
    done = embed(qvec, [{"txet": "a", "text": "b"}] * 3 + [{"instructon": "a", "text": "b"}])
    assert done.status == 0 and done.err.count("txet") == 1 and done.err.count("instructon") == 1
    assert 'is "text" meant' in done.err


BAD = [
    ("{", "invalid_json"), ("[1]", "invalid_json"), ("nonsense", "invalid_json"), ('{"text":"a","text":"b"}', "invalid_json"),
    ('{"text":"\\ud800"}', "invalid_json"), ('{"text":3}', "invalid_argument"), ('{"text":[["a"]]}', "invalid_argument"),
    ('{"text":"a","dimensions":0}', "invalid_argument"), ('{"text":"a","dimensions":65}', "invalid_argument"),
    ('{"text":"a","dimensions":1.5}', "invalid_argument"), ('{"text":"a","normalize":1}', "invalid_argument"),
    ('{"text":"a","prompt":"chat"}', "invalid_argument"), ('{"text":"a","instruction":7}', "invalid_argument"),
    ('{"image":"no-such.png"}', "media_source"), ('{"image":"h264.mp4"}', "image_decode"), ('{"video":"small.png\\u0000"}', "invalid_argument"),
    ('{"image":"data:image/png;base64,AAAA"}', "image_decode"), ('{"text":"a","fps":-1}', "invalid_argument"),
]


def test_a_bad_line_disturbs_no_other(qvec):
    items = [text for text, _ in BAD]
    mixed = [x for item in items for x in (item, {"id": "good", "text": "hello world"})]
    done = embed(qvec, mixed)
    assert done.status == 1
    answers = lines(done)
    assert len({json.dumps(a["embedding"]) for a in answers[1::2]}) == 1
    assert [a["error"]["code"] for a in answers[::2]] == [code for _, code in BAD]
    assert all(a["error"]["message"] for a in answers[::2])
    assert f"{len(BAD)} of {2 * len(BAD)} items failed; the first, on line 1:" in done.err


def test_bytes_that_are_no_text(qvec):
    done = qvec("embed", *TINY, "-", text=b'{"text":"\xff"}\n\xef\xbb\xbf\n{"text":"a"}\n')
    assert done.status == 1 and [("error" in a) for a in lines(done)] == [True, True, False]


def test_byte_order_mark_and_crlf(qvec):
    done = qvec("embed", *TINY, "-", text=b'\xef\xbb\xbf{"text":"a"}\r\n{"text":"b"}')
    assert done.status == 0 and len(lines(done)) == 2


def test_nothing_in_nothing_out(qvec):
    done = qvec("embed", *TINY, "-", text="")
    assert (done.status, done.raw) == (0, b"")


def test_numbers_are_shortest_and_exact(qvec):
    text, = embed(qvec, [{"text": "a"}]).out.splitlines()
    for number in text[text.index("[") + 1:text.index("]")].split(","):
        value = np.float32(number)
        assert number == np.format_float_positional(value, unique=True, trim="0") or "e" in number
        assert np.float32(float(number)) == value


def test_order_is_kept(qvec):
    items = [{"id": i, "text": "word " * (1 if i % 3 else 300)} for i in range(200)]
    assert [a["id"] for a in lines(embed(qvec, items))] == list(range(200))


def test_file_names_are_relative_to_the_file(qvec, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(os.path.join(harness.ASSETS, "small.png"), tmp_path / "in" / "p.png")
    (tmp_path / "in" / "items.jsonl").write_text('{"id":1,"image":"p.png"}\n')
    by_file = lines(qvec("embed", *TINY, tmp_path / "in" / "items.jsonl", cwd="/"))
    by_root = lines(qvec("embed", *TINY, tmp_path / "in" / "items.jsonl", "--media-root", tmp_path / "in", cwd="/"))
    by_pipe = lines(embed(qvec, [{"id": 1, "image": "p.png"}], cwd=tmp_path / "in"))
    url = "data:image/png;base64," + base64.b64encode((tmp_path / "in" / "p.png").read_bytes()).decode()
    by_url = lines(embed(qvec, [{"id": 1, "image": url}], cwd="/"))
    assert by_file == by_root == by_pipe == by_url and "embedding" in by_file[0]


def test_media_root_is_a_wall(qvec, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(os.path.join(harness.ASSETS, "small.png"), tmp_path / "out.png")
    os.symlink(tmp_path / "out.png", tmp_path / "in" / "link.png")
    done = embed(qvec, [{"image": "../out.png"}, {"image": str(tmp_path / "out.png")}, {"image": "link.png"}], "--media-root", tmp_path / "in")
    assert [a["error"]["code"] for a in lines(done)] == ["media_source"] * 3


def test_flags_stand_for_missing_members(qvec):
    by_flag = lines(embed(qvec, [{"id": 1, "text": "a"}], "--prompt", "raw", "--dimensions", "8", "--no-normalize"))
    by_line = lines(embed(qvec, [{"id": 1, "text": "a", "prompt": "raw", "dimensions": 8, "normalize": False}]))
    assert by_flag == by_line and by_flag[0]["prompt"] == "raw" and len(by_flag[0]["embedding"]) == 8
    over = lines(embed(qvec, [{"id": 1, "text": "a", "prompt": "official"}], "--prompt", "raw"))
    assert over[0]["prompt"] == "official"


def test_flag_items_and_together(qvec):
    two = lines(qvec("embed", *TINY, "--text", "a", "--image", "small.png"))
    one = lines(qvec("embed", *TINY, "--text", "a", "--image", "small.png", "--together"))
    line = lines(embed(qvec, [{"text": "a", "image": "small.png"}]))
    assert len(two) == 2 and one == line


def test_truncation_is_told(qvec):
    answer, = lines(embed(qvec, [{"text": "word " * 100, "max_length": 30}]))
    assert answer["truncated"] is True and answer["untruncated"] > answer["tokens"]


def test_too_long_is_an_error(qvec):
    done = embed(qvec, [{"text": "word " * 100, "prompt": "raw"}, {"text": "a"}], "--max-model-len", "64")
    assert [a.get("error", {}).get("code") for a in lines(done)] == ["too_long", None]


def rerank(qvec, items, *flags):
    return qvec("rerank", *RERANKER, *flags, "-", text="".join(json.dumps(i) + "\n" for i in items))


def test_rerank_answer(qvec):
    done = rerank(qvec, [{"id": "q", "query": "a", "documents": ["b", {"text": "c"}, "d"], "kept": 1, "top_n": 2}])
    answer, = lines(done)
    assert list(answer) == ["id", "kept", "scores", "order", "tokens", "truncated"]
    assert answer["order"] == sorted(range(3), key=lambda i: -answer["scores"][i])[:2]


def test_rerank_flags_are_a_line(qvec):
    flags = lines(qvec("rerank", *RERANKER, "--query", "a", "--document", "b", "--document-image", "small.png", "--top-n", "1"))
    line = lines(rerank(qvec, [{"query": {"text": "a"}, "documents": ["b", {"image": "small.png"}], "top_n": 1}]))
    assert flags == line and len(flags[0]["order"]) == 1
    assert qvec("rerank", *RERANKER, "--query", "a").status == 2


def test_a_bad_document_is_its_own_error(qvec):
    done = rerank(qvec, [{"query": "a", "documents": ["b", {"image": "none.png"}, "c"]}])
    good = lines(rerank(qvec, [{"query": "a", "documents": ["b", "c"]}]))[0]
    answer, = lines(done)
    assert done.status == 1 and [answer["scores"][0], answer["scores"][2]] == good["scores"] and answer["scores"][1] is None
    assert sorted(answer["order"]) == [0, 2] and answer["errors"][0]["document"] == 1
    assert answer["errors"][0]["error"]["code"] == "media_source"


@pytest.mark.parametrize("item", [
    {"documents": ["a"]}, {"query": "a"}, {"query": "a", "documents": []}, {"query": 3, "documents": ["a"]},
    {"query": "a", "documents": "b"}, {"query": "a", "documents": [3]}, {"query": {"image": "none.png"}, "documents": ["a"]},
    {"query": "a", "documents": ["b"], "top_n": 0},
], ids=json.dumps)
def test_bad_rerank_lines(qvec, item):
    done = rerank(qvec, [item, {"query": "a", "documents": ["b"]}])
    bad, good = lines(done)
    assert done.status == 1 and bad["error"]["code"] in ("invalid_argument", "media_source") and "scores" in good
