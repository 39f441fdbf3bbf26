"""Stage 5: a recipe and a corpus in, a run folder with a trained system out.

`recipe` (what a TOML file may say), `loader` (rows → micro-batches of like length), `loop` (the one
training loop), `command` (`hearten train`).
"""
