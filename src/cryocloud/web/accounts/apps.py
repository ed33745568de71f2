from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "cryocloud.web.accounts"
    label = "accounts"

    def ready(self) -> None:
        from cryocloud.web.accounts import known_devices, receivers  # noqa: F401
