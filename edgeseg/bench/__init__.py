"""How fast a bundle is on this machine, and how sure that figure is. Nothing in here imports torch.

config.py      what is measured, and for how long
summary.py     samples → minimum, mean, percentiles, jitter
rounds.py      candidates take turns, in an order that rotates
ratios.py      rounds → ratio of medians with a confidence interval
candidate.py   one bundle, precision and runtime, opened, with its frames
steadiness.py  the first seconds after a rest against the last third
camera.py      the camera loop on frames drawn beforehand
child.py       launch.py     start-up and memory, each in a process of its own
energy.py      nvml.py       joules: RAPL, INA3221 rails, NVML; less what the idle machine draws
machine.py     clocks, temperatures, load, before and after
run.py         all of it, in order
report.py      what came out, what did not and why, as plain data; the gate
compare.py     an older report beside this one
missing.py     what was not measured
tables.py      markdown.py   page.py   charts.py   page_style.py     for people
"""
