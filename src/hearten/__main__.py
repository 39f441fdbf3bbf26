"""`python -m hearten` is the same door as `hearten`."""

from hearten.cli import main

if __name__ == "__main__":
    main()
