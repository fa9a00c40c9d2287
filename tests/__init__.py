"""Tests of QENEX, one folder for each room; `vectors` finds the public test vectors.

Property tests have no time limit for each example, because a busy machine is no failure; under
CI=true they draw the same examples in every run.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "qenex",
    deadline=None,
    derandomize=os.environ.get("CI") == "true",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("qenex")
