from django.apps import AppConfig


class OrganizationsConfig(AppConfig):
    name = "cryocloud.web.organizations"
    label = "organizations"

    def ready(self) -> None:
        from cryocloud.web.organizations import receivers  # noqa: F401
