"""`python -m riverrun`: the command line."""

from streams.entry import main

main()
