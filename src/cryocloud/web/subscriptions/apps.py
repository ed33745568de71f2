from django.apps import AppConfig


class SubscriptionsConfig(AppConfig):
    name = "cryocloud.web.subscriptions"
    label = "subscriptions"

    def ready(self) -> None:
        from cryocloud.web.payments.outcomes import register_method
        from cryocloud.web.payments.services import register_outcome
        from cryocloud.web.subscriptions.orders import hear_failed, hear_method, hear_paid

        register_outcome(on_paid=hear_paid, on_failed=hear_failed)
        register_method(hear_method)
