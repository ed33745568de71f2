from django.apps import AppConfig


class SeamsConfig(AppConfig):
    name = "cryocloud.web.seams"
    label = "seams"
