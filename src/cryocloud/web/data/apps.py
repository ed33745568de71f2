from django.apps import AppConfig


class DataConfig(AppConfig):
    name = "cryocloud.web.data"
    label = "data"
