from django.apps import AppConfig


class NoticesConfig(AppConfig):
    name = "cryocloud.web.notices"
    label = "notices"
