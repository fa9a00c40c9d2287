"""Tests that drive a node with other people's Ethereum libraries for JavaScript."""
