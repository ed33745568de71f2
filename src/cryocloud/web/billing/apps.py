from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "cryocloud.web.billing"
    label = "billing"
