from django.apps import AppConfig


class SchedulingConfig(AppConfig):
    name = "cryocloud.web.scheduling"
    label = "scheduling"
