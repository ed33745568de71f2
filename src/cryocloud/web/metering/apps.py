from django.apps import AppConfig


class MeteringConfig(AppConfig):
    name = "cryocloud.web.metering"
    label = "metering"
