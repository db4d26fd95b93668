"""TensorRT engines: what the release here offers, the plan of a build, the build, what is kept of it, and sessions.

    versions.py       releases: which are refused and why, what their parsers read, who delivers them
    capabilities.py   what a release offers, by its names; tensorrt_names.json has twelve, to plan where none is
    devices.py        machines that engines are planned for
    recipe.py         what to build: frozen, checked at birth; the table [engine] of a recipe
    plan.py           recipe, capabilities, device → steps.py: a plan that can be read, and names all that it touches
    apply.py          does the steps, through seam.py, on a real tensorrt or a fake one
    builder.py        plan, apply, watch (progress.py), explain (log.py), report (layers.py), keep timing_cache.py
    driver.py         the NVIDIA driver, asked before any TensorRT object exists
    store.py          engines on disk behind their sidecar.py; examine.py tells of them without a GPU
    session.py        an engine as a session: runner.py, sealed_io.py; buffers.py and cuda.py over cuda-python
    lint/             would it build? said before the build
    triton.py         a Triton model repository
    selftest/         truth on this machine, in one report

TensorRT is imported where it is used, and passed in as `trt`, so that all of it runs against a fake one.
"""
