"""Checks and set-up that the Makefile runs."""
