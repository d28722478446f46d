"""`homeostat model ...` as a new user would type it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

import homeostat as hs
from homeostat.cli.main import cli
from homeostat.ground.errors import HomeostatError

Command = Callable[..., str]


@pytest.fixture
def homeostat(tmp_path: Path) -> Command:
    """Runs `homeostat ... --home HOME` on a home with a model of three versions."""
    home = str(tmp_path / "home")
    client = hs.connect(home)
    X = np.random.default_rng(0).normal(size=(50, 2))
    for number in range(3):
        model = LogisticRegression(C=number + 1.0).fit(X, X[:, 0] > 0)
        client.registry.register(model, "late", evaluation={"roc_auc": 0.7 + number / 10})
    client.close()

    def run(line: str, *more: str) -> str:
        result = CliRunner().invoke(cli, [*line.split(), *more, "--home", home], catch_exceptions=True)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return str(result.output)

    return run


def as_json(homeostat: Command, line: str, *more: str) -> Any:
    return json.loads(homeostat(line, *more, "--json"))


def test_a_champion_is_set_moved_rolled_back_and_asked_for(homeostat: Command) -> None:
    assert homeostat("model alias late champion 1", "--reason", "the first") == "late: champion none -> 1\n"
    assert homeostat("model alias late champion 3 --as ada", "--reason", "better") == "late: champion 1 -> 3\n"
    middle = as_json(homeostat, "model history late --alias champion")[-1]["at"]
    assert homeostat("model rollback late --reason worse") == "late: champion 3 -> 1\n"
    said = homeostat(f"model at late champion {middle}")
    assert said.startswith(f"late@3 was champion at {middle}\n") and "by ada: better" in said
    assert as_json(homeostat, "model at late")["version"] == 1
    assert homeostat("model at late champion 2013-03-03").startswith("champion of late stood on no version at 2013")
    shown = homeostat("model history late")
    assert [line.split()[4] for line in shown.splitlines()[1:]] == ["set", "set", "rollback"]
    assert homeostat("model alias late champion --rm --as eve") == "late: champion 1 -> none\n"
    assert as_json(homeostat, "model history late")[-1]["actor"] == "eve"


def test_stages_are_declared_entered_asked_for_and_approved(homeostat: Command) -> None:
    homeostat(
        "model stages late --declare staging,production --approve production --require production:roc_auc>=0.85",
        "--require",
        "production:was_in = staging",
    )
    shown = homeostat("model stages late").splitlines()
    assert shown[1].split() == ["staging", "-", "-"]
    assert shown[2].split() == ["production", "roc_auc>=0.85,", "was_in=staging", "yes"]
    assert homeostat("model promote late@3 staging") == "late: staging none -> 3\n"
    asked = homeostat("model promote late@3 production --as ada")
    assert asked.startswith("late@3 waits for somebody else to agree: homeostat model approve ")
    request = asked.split()[-1]
    waits = homeostat("model requests late --pending")
    assert request in waits and "ada" in waits
    with pytest.raises(HomeostatError, match="ada asked for this"):
        homeostat(f"model approve {request} --as ada")
    assert homeostat(f"model approve {request} --as bob --comment fine") == "late@3 is in production\n"
    turned = as_json(homeostat, "model stages late --declare live --approve live")
    assert turned == [{"name": "live", "requires": [], "approval": True}]
    request = as_json(homeostat, "model promote late@1 live --as ada")["request"]["id"]
    assert homeostat(f"model reject {request} --as bob") == "late@1 does not enter live\n"


def test_actions_say_what_is_refused_and_why(homeostat: Command) -> None:
    homeostat("model stages late --declare production --require production:roc_auc>=0.85")
    homeostat("model alias late champion 1")
    lines = homeostat("model actions late@1").splitlines()
    assert any("promote to production" in line and "no " in line and "it is 0.7" in line for line in lines)
    assert any(line.startswith("delete") and "champion stands on it" in line for line in lines)
    found = {row["action"]: row["allowed"] for row in as_json(homeostat, "model actions late@3")}
    assert found == {"promote to production": True, "delete": True}


def test_versions_are_listed_tagged_described_and_deleted(homeostat: Command) -> None:
    assert homeostat("model tag late@2 team=ops tier=1").split() == ["team", "ops", "tier", "1"]
    assert as_json(homeostat, "model tag late@2 --rm tier")["tags"] == {"team": "ops"}
    assert homeostat("model tag late kind=a=b").split() == ["kind", "a=b"]
    assert homeostat("model describe late@2", "The second one.") == "late@2 is described\n"
    rows = as_json(homeostat, "model versions late")
    assert [(row["version"], row["description"]) for row in rows][:2] == [(3, ""), (2, "The second one.")]
    assert "roc_auc=0.9" in homeostat("model versions late")
    assert homeostat("model rm late@2") == "late@2 is deleted; its number is never given again\n"
    assert [row["version"] for row in as_json(homeostat, "model versions late")] == [3, 1]
    assert homeostat("model rename late later") == "late is later now\n"
    assert homeostat("model rm later").endswith("undo: homeostat model restore later\n")
    assert homeostat("model restore later") == "later is back\n"
    assert "later" in homeostat("model ls") and "later" in homeostat("model show later")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("model at late champion yesterday", "is not a time"),
        ("model alias late champion 7", "no version 7"),
        ("model alias nobody champion 1", "no model 'nobody'"),
        ("model promote late@1 moon", "no stage 'moon'.*staging, production"),
        ("model promote la/te/1 staging", "not a model reference"),
        ("model stages late --declare a --require b:signed", "'b' is none of the stages a"),
        ("model stages late --declare a --require a:roc_auc>=high", "is no requirement"),
        ("model stages late --declare a --require a:magic", "is no requirement"),
        ("model stages late --declare a --require signed", "is not STAGE:WHAT"),
        ("model approve 123", "no request '123'"),
        ("model rollback late", "nothing to go back to"),
        ("model rollback late --alias 4", "alias"),
        ("model restore late", "no model 'late' was deleted"),
        ("model rm late@champion", "no alias 'champion'|which version"),
    ],
)
def test_what_cannot_be_is_said(homeostat: Command, line: str, says: str) -> None:
    with pytest.raises(HomeostatError, match=says) as raised:
        homeostat(line)
    assert raised.value.field and raised.value.next_step


@pytest.mark.parametrize(
    "line", ["model alias late champion", "model tag late", "model tag late x", "model stages late --approve a"]
)
def test_half_a_command_shows_how_it_is_used(homeostat: Command, line: str) -> None:
    with pytest.raises(AssertionError, match="Usage:"):
        homeostat(line)
