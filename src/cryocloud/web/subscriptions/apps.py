from django.apps import AppConfig


class SubscriptionsConfig(AppConfig):
    name = "cryocloud.web.subscriptions"
    label = "subscriptions"
