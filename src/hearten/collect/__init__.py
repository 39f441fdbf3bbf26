"""Collect: two people, trained, matched, asked and paid attention to.

Reads a study definition (one TOML file, `study.py`) and, while `hearten web --study FILE` runs, what people
do in a browser. Writes `conversations.jsonl` (core `Conversation` records), `ratings.jsonl` (core `Rating`
records) and a data card (`export.py`); `hearten data` takes it from there.

Read the noun modules in the order a participant meets them: `study` → `training` → `surveys` → `matching` →
`rooms` (the rules of a chat), `journal` (how a message becomes durable) and `live` (sockets) → `quality` →
`export`. `humaneval` turns the same rooms into a comparison of hidden supporters. `tables` is what is stored.
"""
