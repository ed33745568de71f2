from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    name = "cryocloud.web.projects"
    label = "projects"
