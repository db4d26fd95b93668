"""TensorRT engines: what the installed release offers, the plan of a build, the build, and what is kept of it."""
