"""Workers: runs trials, on Ray or in this process."""

import os

# Ray reads these when ray and ray.tune are first imported.
# no tables of Tune's own
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# no log files for each trial
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
# no tracebacks in our display
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
# the ledger is the state; Tune's snapshots are not used
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "86400")
# otherwise Tune keeps all results of all checkpoints
os.environ.setdefault("TUNE_ONLY_STORE_CHECKPOINT_SCORE_ATTRIBUTE", "1")
# workers that asked for no GPU keep CUDA_VISIBLE_DEVICES as it is; see workers.nodes.here
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # see workers.stop
# Under `uv run`, Ray would copy the working folder, with all photos in it, for workers in a
# new environment. Nodes of a cluster have their own environment, see workers.nodes.check.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
