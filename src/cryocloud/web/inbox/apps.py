from django.apps import AppConfig


class InboxConfig(AppConfig):
    name = "cryocloud.web.inbox"
    label = "inbox"

    def ready(self) -> None:
        from cryocloud.web.inbox import receivers, requests  # noqa: F401
