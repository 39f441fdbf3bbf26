"""Stage 6, Muffin (2024): tell the helpful reply from the unhelpful one, and learn it.

Reads `conversations.jsonl`, a run folder of `hearten train` and the public facet corpora; writes facet data,
a rater, candidates, verdicts and another run folder.

`facets` builds labelled replies (`sources` reads the corpora, `incoherent` makes replies that do not fit),
`rating` trains, measures and applies raters, `sampling` draws candidates by diverse beam search, `contrast`
learns from the rated ones. What serves a rater at run time lives below, in `models/raters.py` and
`models/refine.py`.
"""
