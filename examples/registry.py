"""Register fitted models, let stages ask for what they must show, promote, roll back, and ask who was champion."""

import numpy as np
from sklearn.linear_model import LogisticRegression

import homeostat as hs

rng = np.random.default_rng(0)
X = rng.normal(size=(500, 3))
y = X[:, 0] + rng.normal(scale=0.5, size=500) > 0

registry = hs.connect().registry
for strength in (0.01, 1.0):
    with hs.run("examples", params={"C": strength}) as run:
        model = LogisticRegression(C=strength).fit(X[:400], y[:400])
        accuracy = float(model.score(X[400:], y[400:]))
        run.log(accuracy=accuracy)
        made = registry.register(model, "late", evaluation={"accuracy": accuracy})
        print(made["ref"], made["metrics"], "from run", made["run_id"][:8])

good = hs.Requirement(kind="at_least", name="accuracy", bound=0.7)
seen = hs.Requirement(kind="was_in", name="staging")
registry.declare_stages(["staging", hs.Stage(name="production", requires=(good, seen), approval=True)], model="late")

registry.promote("late@2", "staging", actor="ada")
asked = registry.promote("late@2", "production", reason="better on this month", actor="ada")["request"]
registry.approve(asked["id"], comment="looks right", actor="bob")

registry.set_alias("late", "champion", 1, reason="the first")
registry.set_alias("late", "champion", 2, reason="approved by bob")
then = registry.at("late")["move"]["at"]
registry.rollback("late", reason="complaints from the airport")
print(registry.at("late")["ref"], "is champion; at", then, "it was", registry.at("late", "champion", then)["ref"])
for move in registry.history("late", alias="champion"):
    print(move["at"], move["from_version"], "->", move["to_version"], move["kind"], move["reason"])
