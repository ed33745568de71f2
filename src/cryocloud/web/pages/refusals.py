from __future__ import annotations

from django.forms import Form

from cryocloud.web.core.errors import Refused


def show_refusal(form: Form, refused: Refused) -> None:
    """Put the messages of a refusal beside the fields that are to blame."""
    if not refused.fields:
        form.add_error(None, str(refused))
    for field, message in refused.fields.items():
        form.add_error(field if field in form.fields else None, message)
