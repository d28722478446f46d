"""A trainer in a process of its own: logs, and prints what `log` returned from, until it is killed or has done enough.

Usage: trainer.py HOME URL|- STEPS PAUSE
"""

import os
import sys
import time

import homeostat as hs


def main(home: str, url: str, steps: int, pause: float) -> None:
    with hs.run("exp", home=home, url=url.replace("-", ""), name="trainer", system_metrics=False) as run:
        os.write(1, f"run {run.id}\n".encode())
        run.params({"steps": steps})
        run.artifact("model.bin", b"weights" * 1000)
        for step in range(steps):
            run.log(loss=step / 7, accuracy=-float(step))
            if step % 3 == 0:
                run.log(rare=float(step))
            os.write(1, f"{step}\n".encode())
            time.sleep(pause)
        run.log_series("bulk", [float(step) for step in range(steps)])
    os.write(1, b"done\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
