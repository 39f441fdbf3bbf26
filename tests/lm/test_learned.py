"""Learned rows of a frozen vocabulary: the same function and gradient as a table that learns whole."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

from hearten.lm.learned import LearnedEmbedding, LearnedHead, learn_rows, merge_rows

IDS = [3, 11]
SEEN = torch.tensor([[1, 3, 5], [11, 3, 2]])


def tiny(tied):
    torch.manual_seed(2)
    shape = LlamaConfig(
        vocab_size=12,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(shape).eval()


@pytest.mark.parametrize("tied", [True, False])
def test_the_gradient_is_that_of_the_rows_of_a_whole_table(tied):
    whole, learned = tiny(tied), tiny(tied)
    learned.requires_grad_(False)
    learn_rows(learned, IDS)
    target = torch.tensor([3, 5, 7, 3, 2, 11])
    for model in (whole, learned):
        functional.cross_entropy(model(input_ids=SEEN).logits.flatten(0, 1), target).backward()
    table, head = learned.get_input_embeddings(), learned.get_output_embeddings()
    assert isinstance(table, LearnedEmbedding)
    assert isinstance(head, LearnedHead)
    assert (table.rows is head.rows) == tied
    torch.testing.assert_close(table.rows.grad, whole.get_input_embeddings().weight.grad[IDS])
    torch.testing.assert_close(head.rows.grad, whole.get_output_embeddings().weight.grad[IDS])
    assert {name for name, p in learned.named_parameters() if p.grad is not None} == {
        name for name, p in learned.named_parameters() if name.endswith(".rows")
    }


@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_what_was_learned_is_written_into_the_tables(tied):
    model = tiny(tied).requires_grad_(False)
    before = model.get_input_embeddings().weight.clone()
    learn_rows(model, IDS)
    for name, parameter in model.named_parameters():
        if name.endswith(".rows"):
            parameter.add_(1.0)
    said, shown = model(input_ids=SEEN).logits, model.get_input_embeddings().weight
    merge_rows(model)
    torch.testing.assert_close(model(input_ids=SEEN).logits, said)
    table = model.get_input_embeddings()
    assert type(table) is nn.Embedding
    assert torch.equal(table.weight, shown)
    others = [row for row in range(12) if row not in IDS]
    assert torch.equal(table.weight[others], before[others])
    assert (table.weight is model.get_output_embeddings().weight) == tied


def test_without_ids_nothing_changes():
    model = tiny(tied=True)
    learn_rows(model, [])
    assert type(model.get_input_embeddings()) is nn.Embedding
