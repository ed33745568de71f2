"""Every operation against its own description, with good and bad data: no server error, no undeclared answer.

Ids are real ones half of the time, so that calls get past the door; each call is rolled back.
"""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cryocloud.web.core.models import Count
from platform_addresses import operations
from platform_world import make_world

SCHEMA = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application())
OPERATIONS = [(one.method, one.template) for one in operations()]
ALWAYS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
QUICK_EXAMPLES, SLOW_EXAMPLES = 4, 60


@pytest.fixture(autouse=True)
def _one_connection():
    """As Django's own test client does: a call must not close the connection of the test's transaction."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


def fuzz(method, path, mode, examples, owner):
    ids = make_world(owner).ids
    operation = SCHEMA[path][method]
    checks = [*ALWAYS, negative_data_rejection] if mode is GenerationMode.NEGATIVE else ALWAYS

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
    def call(case, real):
        Count.objects.all().delete()
        if real:
            known = {name: ids[name] for name in case.path_parameters or {} if name in ids}
            case.path_parameters = {**(case.path_parameters or {}), **known}
        with transaction.atomic():
            answer = case.call(headers={"Authorization": f"Bearer {owner.secret}"})
            transaction.set_rollback(True)
        case.validate_response(answer, checks=checks)

    call()


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_good_data(method, path, owner, home):
    fuzz(method, path, GenerationMode.POSITIVE, QUICK_EXAMPLES, owner)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_bad_data(method, path, owner, home):
    fuzz(method, path, GenerationMode.NEGATIVE, QUICK_EXAMPLES, owner)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_much_data(method, path, mode, owner, home):
    fuzz(method, path, mode, SLOW_EXAMPLES, owner)
