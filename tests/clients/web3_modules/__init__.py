"""web3.py's own integration tests, which ship in its wheel, against a developer chain."""
