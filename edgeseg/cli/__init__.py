"""One file per command, in pipeline order: parse, call, print."""
