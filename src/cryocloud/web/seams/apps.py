from django.apps import AppConfig


class SeamsConfig(AppConfig):
    name = "cryocloud.web.seams"
    label = "seams"

    def ready(self) -> None:
        from cryocloud.web.seams.crashes import crash_where_told

        crash_where_told()
