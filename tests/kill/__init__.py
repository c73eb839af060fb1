"""Commands killed at any moment, and what is left: python -m tests.kill.kill."""
