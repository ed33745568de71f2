from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class BillingConfig(AppConfig):
    name = "cryocloud.web.billing"
    label = "billing"

    def ready(self) -> None:
        from cryocloud.web.billing import guards
        from cryocloud.web.billing.customers import mail_address_of
        from cryocloud.web.billing.documents import attached_to
        from cryocloud.web.lifecycle.letters import register_address
        from cryocloud.web.notices.mail import register_attachments

        register_address(mail_address_of)
        register_attachments(attached_to)
        pre_migrate.connect(guards.remove_before_migrations, sender=self)
        post_migrate.connect(guards.install_after_migrations, sender=self)
