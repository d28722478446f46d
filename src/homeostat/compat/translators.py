"""Which translator answers which kind of path on the data plane."""

from homeostat.compat.mlflow_scoring import MlflowScoring
from homeostat.compat.native import CompactForm
from homeostat.compat.oip import OpenInference
from homeostat.serving.types import Translator


def translators() -> dict[str, Translator]:
    """One for each kind of prediction route (`serving/routes.py`)."""
    return {"infer": OpenInference(), "invocations": MlflowScoring(), "predict": CompactForm()}
