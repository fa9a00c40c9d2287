"""Tests of the exchange, lending, farming and oracles, their invariants and famous attacks."""
