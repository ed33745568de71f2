from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "cryocloud.web.audit"
    label = "audit"
