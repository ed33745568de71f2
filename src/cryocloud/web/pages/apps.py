from django.apps import AppConfig


class PagesConfig(AppConfig):
    name = "cryocloud.web.pages"
    label = "pages"
