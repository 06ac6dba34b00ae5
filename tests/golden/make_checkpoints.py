"""Makes the checkpoint folders that the tests open with `--load-format dummy`: everything but the weights.

    python3 make_checkpoints.py OUT_DIR [--stamp FILE]        every folder: {tiny,small,untied,2b,8b}-{embedding,reranker}

Standard library only, so that a bare machine can build. The folders have the files of the published ones:
config.json, tokenizer.json (the embedding kind appends <|endoftext|> in its post-processor, the reranker kind
nothing), tokenizer_config.json, the chat template, the processors' configs, and sentence-transformers'
modules.json with the folders it names. `untied-*` go without the last, as early releases did.
"""
import argparse
import json
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "data")
TOKENIZER = os.path.join(HERE, "..", "..", "models", "qwen3-tokenizer.json.xz")
sys.path.insert(0, os.path.join(HERE, "..", "..", "tools"))
from unpack_tokenizer import load as load_tokenizer  # noqa: E402

SHAPES = ("tiny", "small", "untied", "2b", "8b")
KINDS = ("embedding", "reranker")
YES, NO = 9693, 2152


def write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=None if path.endswith("tokenizer.json") else 1)


def sentence_transformers_files(folder, kind, hidden):
    def module(index, path, name):
        return {"idx": index, "name": str(index), "path": path, "type": name}
    modules = [module(0, "", "sentence_transformers.models.Transformer")]
    if kind == "embedding":
        modules += [module(1, "1_Pooling", "sentence_transformers.models.Pooling"),
                    module(2, "2_Normalize", "sentence_transformers.models.Normalize")]
        write_json(os.path.join(folder, "1_Pooling", "config.json"),
                   {"word_embedding_dimension": hidden, "pooling_mode_cls_token": False,
                    "pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True, "include_prompt": True})
    else:
        modules += [module(1, "1_LogitScore", "sentence_transformers.cross_encoder.modules.logit_score.LogitScore")]
        write_json(os.path.join(folder, "1_LogitScore", "config.json"), {"true_token_id": YES, "false_token_id": NO})
    write_json(os.path.join(folder, "modules.json"), modules)


def make(folder, shape, kind, tokenizer_from=None):
    """One folder. tokenizer_from: a folder of the same kind whose tokenizer.json may be linked."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(DATA, "configs", shape, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    write_json(os.path.join(folder, "config.json"), config)
    for name in os.listdir(os.path.join(DATA, "files")):
        shutil.copyfile(os.path.join(DATA, "files", name), os.path.join(folder, name))
    if shape != "untied":
        sentence_transformers_files(folder, kind, config["text_config"]["hidden_size"])
    target = os.path.join(folder, "tokenizer.json")
    if os.path.exists(target):
        os.unlink(target)
    if tokenizer_from is None:
        write_json(target, load_tokenizer(TOKENIZER, kind))
    else:
        source = os.path.join(tokenizer_from, "tokenizer.json")
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)


def make_all(out):
    for kind in KINDS:
        first = None
        for shape in SHAPES:
            folder = os.path.join(out, f"{shape}-{kind}")
            make(folder, shape, kind, first)
            first = first or folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--stamp", help="file to write when done")
    arguments = parser.parse_args()
    make_all(arguments.out)
    if arguments.stamp:
        with open(arguments.stamp, "w", encoding="utf-8") as stamp:
            stamp.write("done\n")
