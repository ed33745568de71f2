from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "cryocloud.web.billing"
    label = "billing"

    def ready(self) -> None:
        from cryocloud.web.billing import guards
        from cryocloud.web.billing.customers import mail_address_of
        from cryocloud.web.billing.documents import attached_to
        from cryocloud.web.billing.extra import require_extra
        from cryocloud.web.core.guards import keep
        from cryocloud.web.lifecycle.letters import register_address
        from cryocloud.web.notices.mail import register_attachments

        require_extra()
        register_address(mail_address_of)
        register_attachments(attached_to)
        keep(self, guards.install, guards.remove)
