"""Stage 8, talking: reads a run folder or the name of a chat model; writes a saved conversation when asked.

`terminal` is `hearten chat`. Whatever answers is a `core.supporter.Supporter`.
"""
