"""Does this machine compute what the bundle promises, and how fast? One run, one report to attach to an issue.

    report.py      what was found: items in sections, as JSON and as Markdown
    timing.py      latency by trtexec's conventions
    graphs.py      small sealed graphs: transposed convolutions, ArgMax in several forms, one that divides by its frame
    kits.py        how a graph is opened: as a TensorRT engine, or in ONNX Runtime on the CPU
    checks.py      golden frames, parity with ONNX Runtime on the CPU, transposed convolutions, invalid frames
    variants.py    forms of one function whose speed only the device can tell, and which is best on it
    run.py         all of it, in order; what goes wrong is written down, and the rest is done all the same

ONNX Runtime on the CPU is the reference, because its figures are the ones that the export was judged by. Where it is
also what is tested (`edgeseg selftest` without --gpu), the run shows that the code works, and how fast the CPU is.
"""
