from django.apps import AppConfig


class LifecycleConfig(AppConfig):
    name = "cryocloud.web.lifecycle"
    label = "lifecycle"
