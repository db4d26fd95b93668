"""Recordings that survive a kill: encoded in parts of a second, gathered in a file that plays at every moment."""
