from django.apps import AppConfig


class ResultsConfig(AppConfig):
    name = "cryocloud.web.results"
    label = "results"

    def ready(self) -> None:
        from cryocloud.web.data.usage import register_storage
        from cryocloud.web.results.storage import result_bytes

        register_storage(result_bytes)
