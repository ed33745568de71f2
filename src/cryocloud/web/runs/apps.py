from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "cryocloud.web.runs"
    label = "runs"
