from django.apps import AppConfig


class OrganizationsConfig(AppConfig):
    name = "cryocloud.web.organizations"
    label = "organizations"
