"""Installations that are older than the dates of states: nobody's trial or data end without a week's or a month's notice."""

from datetime import timedelta

from django.apps.registry import Apps
from django.db import migrations

from cryocloud.web.configuration import configuration
from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import new_id
from cryocloud.web.organizations.mailboxes import mailbox_hash

NOTICE = timedelta(days=7)
OWNER = 40


def give_dates(apps: Apps, schema_editor: object) -> None:
    organization = apps.get_model("organizations", "Organization")
    site, moment = configuration(), now()
    for one in organization.objects.filter(state="trial", state_until=None).iterator():
        one.state_since = one.trial_started_at
        one.state_until = max(one.trial_started_at + timedelta(days=site.trial_days), moment + NOTICE)
        one.save(update_fields=["state_since", "state_until"])
    readable = {"state_since": moment, "state_until": moment + timedelta(days=site.retrieval_days)}
    organization.objects.filter(state="trial_ended", state_until=None).update(**readable)
    # “Closed” let everything be read until now.
    organization.objects.filter(state="closed").update(state="retrieval", **readable)


def note_trials(apps: Apps, schema_editor: object) -> None:
    membership = apps.get_model("organizations", "Membership")
    taken = apps.get_model("organizations", "TrialTaken")
    for person, address, organization in membership.unscoped.filter(role=OWNER).values_list(
        "user_id", "user__email", "organization_id"
    ):
        taken.unscoped.create(
            id=new_id(),
            organization_id=organization,
            person_id=person,
            mailbox_hash=mailbox_hash(address),
        )


class Migration(migrations.Migration):

    dependencies = [
        ('organizations', '0004_trial_reviews'),
    ]

    operations = [
        migrations.RunPython(give_dates, migrations.RunPython.noop),
        migrations.RunPython(note_trials, migrations.RunPython.noop),
    ]
