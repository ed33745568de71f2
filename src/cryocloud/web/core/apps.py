from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "cryocloud.web.core"
    label = "core"
