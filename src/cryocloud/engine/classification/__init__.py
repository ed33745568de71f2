"""Sort particle images into classes, average them, and judge the classes.

:func:`start_classification` makes the first averages, :func:`classify` updates them on growing batches of particles,
:func:`rate_classes` measures how good each class is and :func:`choose_classes` says which to keep, and why.
"""

from cryocloud.engine.classification.classify import (
    class_resolutions_angstrom,
    classify,
    start_classification,
)
from cryocloud.engine.classification.quality import (
    ClassDecision,
    ClassQuality,
    SelectionRules,
    choose_classes,
    rate_classes,
    score_classes,
)
from cryocloud.engine.classification.records import (
    Assignments,
    ClassificationParameters,
    ClassificationState,
    ClassSums,
)

__all__ = [
    "Assignments",
    "ClassDecision",
    "ClassQuality",
    "ClassSums",
    "ClassificationParameters",
    "ClassificationState",
    "SelectionRules",
    "choose_classes",
    "class_resolutions_angstrom",
    "classify",
    "rate_classes",
    "score_classes",
    "start_classification",
]
