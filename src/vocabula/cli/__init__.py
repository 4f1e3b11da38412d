"""The command line; `vocabula.cli.main` is its entry point."""
