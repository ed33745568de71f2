from django.apps import AppConfig


class MeteringConfig(AppConfig):
    name = "cryocloud.web.metering"
    label = "metering"

    def ready(self) -> None:
        from cryocloud.web.core.append_only import keep_append_only
        from cryocloud.web.metering.models import UsageRecord

        keep_append_only(UsageRecord)
