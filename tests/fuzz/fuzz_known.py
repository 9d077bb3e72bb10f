"""What the fuzzing leaves out, and why."""

# Findings that are being mended: parts of their keys (callable, exception, file and function). `make fuzz`
# leaves them out too. A fragment whose finding is mended is to go from here.
KNOWN: list[str] = []

BETWEEN = "passed between modules of the package"
SAVED = "a target with the networks: all classes have the methods from `Saved`"
FILES = "takes files, of a format whose reader may be missing: tests/estimators/test_sharded.py"
CHECKED = "scikit-learn's own, which its checks of estimators try"

# Public names, and with a dot before them methods of any class, that are no targets.
EXEMPT: dict[str, str] = {
    "ClusterPosterior": BETWEEN,
    "ClusterPosterior.effect": BETWEEN,
    "Curvature": "what `curvature_at` returns",
    "DataPenalty": "a base class",
    "DataPenalty.gradients": "a target with each penalty",
    "DataPenalty.names": "a target with each penalty",
    "DataPenalty.on": BETWEEN,
    "DesignWarning": "a warning",
    "DifferenceInDifferences.equality_test": "it has one effect; a target with the others",
    "DivergenceError": "an exception, which the package makes",
    "DivergenceError.of": "takes what the kernel raises, which the package gives it",
    "DivergenceWarning": "a warning",
    "EffectsPrior": BETWEEN,
    "EffectsPrior.posterior": BETWEEN,
    "effects_prior": BETWEEN,
    "main": "the program, whose arguments are texts: tests/system/test_cli.py",
    "HeldProcess": BETWEEN,
    "HeldProcess.features": BETWEEN,
    "HeldProcess.whitened": BETWEEN,
    "WhitenedColumns": BETWEEN,
    "coefficients": BETWEEN,
    "learn_process": BETWEEN,
    "GroupsWarning": "a warning",
    "InnerStepWarning": "a warning",
    "InstrumentWarning": "a warning",
    "InternalError": "an exception, which the kernel makes; one that comes is a finding",
    "InterruptedWarning": "a warning",
    "Optimizer": "a base class without fields",
    "Loss": "the name of a type",
    "Penalty": "a base class",
    "Penalty.gradients": "a target with each penalty",
    "Penalty.names": "a target with each penalty",
    "Policy": "the name of a type",
    "RegressionLoss": "the name of a type",
    "ProximalF2BMLD.score": "scikit-learn's, which knows of no proxies",
    "ScaleWarning": "a warning",
    "Schedule": "a base class without fields",
    "Term": "a base class without fields",
    "Term.to_dict": "a target with each term",
    "NotSaved": "what a file says where it has no model",
    "NotSaved.refuse": BETWEEN,
    "Saved": "a base class without fields",
    "summary_table": BETWEEN,
    "to_frame": BETWEEN,
    "why_not_refit": BETWEEN,
    "ParquetShards": FILES,
    "ParquetShards.read": BETWEEN,
    "write_shards": FILES,
    ".fit_shards": FILES,
    ".get_metadata_routing": CHECKED,
    ".load": SAVED,
    ".save": SAVED,
    ".set_callbacks": CHECKED,
    ".set_fit_request": CHECKED,
    ".set_partial_fit_request": CHECKED,
    ".set_predict_request": CHECKED,
    ".set_score_request": CHECKED,
}
