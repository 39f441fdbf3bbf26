"""Chat models, backbones and encoders: whatever turns text into numbers or text.

`embed` (sentence vectors). `torch` and `transformers` are imported inside functions, so that a stage may
ask whether something is there without paying for it.
"""
