from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "cryocloud.web.runs"
    label = "runs"

    def ready(self) -> None:
        from cryocloud.web.data.usage import register_readers
        from cryocloud.web.runs.dataset_usage import jobs_reading

        register_readers(jobs_reading)
