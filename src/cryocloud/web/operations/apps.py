from django.apps import AppConfig


class OperationsConfig(AppConfig):
    name = "cryocloud.web.operations"
    label = "operations"
