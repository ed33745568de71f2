"""A workflow that counts, and counts again as far as the first result says."""

from collections.abc import Mapping

from cryocloud.catalog.base import Input, Parameters, parameter
from cryocloud.catalog.workflow import Conclusion, Decision, Plan, Step, Workflow


class TallyParameters(Parameters):
    steps: int = parameter(2, help="Steps of the first count", ge=1, le=100)
    step_s: float = parameter(0.0, unit="s", help="Time of a step of the second count", ge=0)
    doubt: str = parameter("", help="Why the first count is not to be trusted")
    mishap: str = parameter("none", help="What goes wrong in the second count")


def plan(parameters: TallyParameters, inputs: Mapping[str, str]) -> Plan:
    first = yield Step("counting", {"input": inputs["input"]}, {"steps": parameters.steps, "limit": 5.5})
    steps = int(first.metric("sum")) + 1
    decision = Decision("second count", steps, "one more than the first sum", {"sum": first.metric("sum")})
    second = yield Step(
        "counting",
        {"input": first.file("sum.txt")},
        {"steps": steps, "step_s": parameters.step_s, "mishap": parameters.mishap, "mishap_step": 1},
        (decision,),
        doubt=parameters.doubt,
    )
    return Conclusion(
        result=second.folder,
        decisions=(Decision("evidence", "none", "counting proves nothing"),),
        warnings=("counts are <not> to be trusted",),
        key_numbers={"sum": second.metric("sum")},
    )


WORKFLOW = Workflow(
    "tally", "Tally", "Counts twice.", TallyParameters, (Input("input", "text", "A file"),), plan
)
