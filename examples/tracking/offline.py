"""Offline: nothing is asked of a server; `homeostat sync` ships the run when there is one."""

import subprocess
import sys

import numpy as np

import homeostat as hs

with hs.run("examples", name="offline", offline=True) as run:
    run.log_series("noise", np.random.default_rng(0).normal(size=100_000))

subprocess.run([sys.executable, "-m", "homeostat.cli.entry", "sync"], check=True)
