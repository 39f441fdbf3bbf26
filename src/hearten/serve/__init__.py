"""Stage 8: chat in the terminal, on a page and through an API. Reads runs and models."""
