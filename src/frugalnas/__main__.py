"""`python -m frugalnas`, and with it `torchrun -m frugalnas`: the command line."""

from frugalnas.cli import main

if __name__ == "__main__":
    main()
