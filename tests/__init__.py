"""The tests of fanflow."""
