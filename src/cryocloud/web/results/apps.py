from django.apps import AppConfig


class ResultsConfig(AppConfig):
    name = "cryocloud.web.results"
    label = "results"
