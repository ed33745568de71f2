from django.apps import AppConfig


class InboxConfig(AppConfig):
    name = "cryocloud.web.inbox"
    label = "inbox"
