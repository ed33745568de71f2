from functools import partial

from django.apps import AppConfig


class MeteringConfig(AppConfig):
    name = "cryocloud.web.metering"
    label = "metering"

    def ready(self) -> None:
        from cryocloud.web.core.guards import added_only, keep, put_up, take_away
        from cryocloud.web.metering.models import UsageRecord

        rules = added_only(UsageRecord)
        keep(self, partial(put_up, rules=rules), partial(take_away, rules=rules))
