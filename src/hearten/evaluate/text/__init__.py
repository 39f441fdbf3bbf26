"""Text metrics: two lists of texts in; figures, per-item scores and signatures out.

Read `tokenise` first (published numbers drift there), then `ngrams` (what is counted, once, for every
metric), then one file a metric family. `presets` says which recipe each family of papers used; `score`
puts them together. Nothing here knows a run, a model or a split.
"""
