"""Development commands, run as `python -m scripts.NAME`; nothing imports them."""
