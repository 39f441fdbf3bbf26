"""The published systems: `systems/` (one file each) composing `parts/` (shared layers) on a backbone.

`system.py` is the interface every one of them has; `supporters.py` turns a trained run, or a chat model
with a prompt, into a `Supporter`.
"""
