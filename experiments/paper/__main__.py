"""Reproduces Tables I and II, Figure 1 and section VII of the paper on MNIST.

Its loss is compared with ways to save cost that it did not try.
"""

import sys
from functools import partial

from examples import datasets
from experiments import command
from experiments.paper import data, report, section7, table1, table2


def run(quick, seed, perform):
    """Trains what is not kept yet, and returns the report and its pictures."""
    plan = data.QUICK if quick else data.FULL
    source = "digits" if datasets.mnist("auto" if quick else "mnist").name == "digits" else "mnist"
    of_seeds = {f"Table I, {arm}": (arm, seed) for arm in table1.ARMS}
    for other in range(seed + 1, seed + 1 + plan.more_seeds):
        of_seeds[f"Table I, seed {other}, {table1.PAPERS}"] = table1.PAPERS, other
    jobs = {job: (table1.run, arm, source, plan, of) for job, (arm, of) in of_seeds.items()}
    jobs |= {f"Table II, {arm}": (table2.run, arm, source, plan, seed) for arm in table2.ARMS}
    found, seconds = perform(jobs)
    by_seed = {}
    for job, (_, of) in of_seeds.items():
        by_seed.setdefault(of, {}).update(found.pop(job))
    second = {method: outcome for part in found.values() for method, outcome in part.items()}
    results = report.Results(by_seed, second, section7.run(), not quick)
    how = (
        f"`make paper{'-quick' if quick else ''} ARGS=--seed={seed}` on {command.machine()}.\n\n"
        "Seconds of each arm (the compilation included):\n\n"
        + "".join(f"- {name}: {each:.0f}\n" for name, each in seconds.items())
        + f"\nAll arms: {sum(seconds.values()):.0f} s."
    )
    return {"report.md": report.write(results, how), **report.pictures(results)}


main = partial(command.main, "paper", __doc__, run)


if __name__ == "__main__":
    sys.exit(main())
