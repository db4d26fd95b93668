"""The live page: what `edgeseg serve` shows a browser of a loop that runs on a device without a screen."""
