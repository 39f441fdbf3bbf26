"""Expected replies and scores of group beam search, from transformers 4.x, where it last lived.

Makes `diverse_beams.json`. In an environment of its own:

    pip install transformers==4.49.0 torch==2.13.0
    python tests/golden/make_diverse_beams.py

The models are tiny and their weights are numbers drawn by name, so that any version builds the same one.
"""

import itertools
import json
import zlib
from pathlib import Path

import torch

PAD, END, START, WORDS = 0, 1, 2, 24


@torch.no_grad()
def fill(model):
    """Give every parameter numbers that depend on its name alone; padding can never be said."""
    for name, parameter in model.named_parameters():
        own = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        parameter.copy_(torch.randn(parameter.shape, generator=own) * (0.05 if parameter.ndim == 1 else 0.45))
        if "norm" in name and name.endswith("weight"):
            parameter.add_(1.0)
    head = torch.nn.Linear(model.config.hidden_size, WORDS)
    own = torch.Generator().manual_seed(5)
    head.weight.copy_(torch.randn(head.weight.shape, generator=own) * 0.45)
    head.bias.zero_()
    head.bias[PAD], head.bias[END] = -1e4, 1.5
    model.lm_head = head
    return model.eval()


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = LlamaConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False, pad_token_id=PAD,
        bos_token_id=START, eos_token_id=END,
    )  # fmt: skip
    return fill(LlamaForCausalLM(shape))


def bart():
    from transformers import BartConfig, BartForConditionalGeneration

    shape = BartConfig(
        vocab_size=WORDS, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=24,
        decoder_ffn_dim=24, encoder_attention_heads=2, decoder_attention_heads=2, max_position_embeddings=64,
        pad_token_id=PAD, bos_token_id=START, eos_token_id=END, decoder_start_token_id=START,
        forced_eos_token_id=None, dropout=0.0,
    )  # fmt: skip
    return fill(BartForConditionalGeneration(shape))


MODELS = {"llama": llama, "bart": bart}


def cases():
    """(model, beams, groups, penalty, n-gram, shortest, longest, power), and prompts of one length."""
    shapes = [(4, 4), (6, 3), (4, 2), (10, 10), (6, 2)]
    rest = [(1.0, 3, 2, 9, 1.0), (0.4, 2, 1, 7, 0.6), (2.5, 0, 3, 6, 1.0), (1.0, 2, 4, 11, 0.0)]
    for number, (name, shape, more) in enumerate(itertools.product(MODELS, shapes, rest)):
        own = torch.Generator().manual_seed(number)
        prompts = torch.randint(3, WORDS, (3, 5), generator=own).tolist()
        keys = ("penalty", "no_repeat", "min_tokens", "max_tokens", "length_penalty")
        yield {"model": name, "n": shape[0], "groups": shape[1], "prompts": prompts} | dict(
            zip(keys, more, strict=True)
        )


def expected(model, case):
    lengths = {"min_new_tokens": case["min_tokens"], "max_new_tokens": case["max_tokens"]}
    seen = {"encoder_no_repeat_ngram_size": case["no_repeat"]} if case["model"] == "bart" else {}
    found = model.generate(
        torch.tensor(case["prompts"]), num_beams=case["n"], num_beam_groups=case["groups"],
        num_return_sequences=case["n"], diversity_penalty=case["penalty"], do_sample=False,
        no_repeat_ngram_size=case["no_repeat"], length_penalty=case["length_penalty"],
        output_scores=True, return_dict_in_generate=True, **lengths, **seen,
    )  # fmt: skip
    start = 1 if case["model"] == "bart" else len(case["prompts"][0])
    said = [row[start:] for row in found.sequences.tolist()]
    said = [row[: row.index(END)] if END in row else [i for i in row if i != PAD] for row in said]
    scores = [round(score, 5) for score in found.sequences_scores.tolist()]
    return [
        [
            [words, score]
            for words, score in zip(said[k : k + case["n"]], scores[k : k + case["n"]], strict=True)
        ]
        for k in range(0, len(said), case["n"])
    ]


def main():
    import transformers

    models = {name: make() for name, make in MODELS.items()}
    rows = [case | {"expected": expected(models[case["model"]], case)} for case in cases()]
    place = Path(__file__).with_name("diverse_beams.json")
    place.write_text(
        json.dumps({"transformers": transformers.__version__, "cases": rows}, separators=(",", ":")) + "\n",
        encoding="utf-8",
    )
    print(f"wrote {len(rows)} cases to {place}")


if __name__ == "__main__":
    main()
