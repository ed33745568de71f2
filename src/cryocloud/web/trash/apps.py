from django.apps import AppConfig


class TrashConfig(AppConfig):
    name = "cryocloud.web.trash"
    label = "trash"
