from django.apps import AppConfig


class EditsConfig(AppConfig):
    name = "cryocloud.web.edits"
    label = "edits"
