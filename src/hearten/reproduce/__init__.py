"""`hearten reproduce TABLE`: the rows of a paper's table, trained, answered and scored, paper beside ours.

A door above the stages, like `demo`: it joins train and evaluate and computes nothing itself. `rows` (a
folder of recipes is a table), `bench` (one row from recipe to scores, resumable, each part in one process at
a time), `caveats` (why ours and the paper's do not compare), `table` (how it is shown), `command`.
"""
