from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "cryocloud.web.accounts"
    label = "accounts"
