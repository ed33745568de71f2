from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "cryocloud.web.payments"
    label = "payments"

    def ready(self) -> None:
        from cryocloud.web.billing.vat_checks import register_replaced
        from cryocloud.web.payments.replacing import follow_invoice

        register_replaced(follow_invoice)
