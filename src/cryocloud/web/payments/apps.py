from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "cryocloud.web.payments"
    label = "payments"
