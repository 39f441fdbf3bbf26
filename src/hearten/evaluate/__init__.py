"""Stage 7, evaluate: predictions and texts in; figures with their signatures, comparisons and reports out."""
