"""From a camera to the eye: sources, overlay, sinks, and the loop between them."""
