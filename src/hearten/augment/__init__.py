"""Stage 3: a language model in, a large checked corpus out (Zheng et al. 2023, ExTES).

Reads: a plan (`plan.toml`), seed conversations or those already accepted, and files of conversations that
nothing new may resemble. Writes: a corpus folder (`records.CorpusFolder`), and from it, with the decisions
of reviewers, `conversations.jsonl` and a data card.
"""
