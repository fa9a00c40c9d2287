"""The house rules: imports, sizes, words, and the way the project is set up."""
