"""Subcommands of `qenex`: each module holds one as `command`."""
