"""Django's settings, all derived from one ``Configuration``."""

from __future__ import annotations

from pathlib import Path

from csp.constants import NONE, SELF

from cryocloud.web.accounts.log_in_settings import *  # noqa: F403
from cryocloud.web.configuration import configuration, secret_key
from cryocloud.web.core.database_address import database_settings
from cryocloud.web.core.mail_address import mail_settings

CONFIGURATION = configuration()
_PACKAGE = Path(__file__).parent

SECRET_KEY = secret_key(CONFIGURATION)
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]", *CONFIGURATION.allowed_hosts]
ALLOWED_HOSTS.append(CONFIGURATION.address.split("://", 1)[1].rsplit(":", 1)[0])
ROOT_URLCONF = "cryocloud.web.urls"
ASGI_APPLICATION = "cryocloud.web.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "csp",
    "django_htmx",
    "django_tasks",
    "cryocloud.web.core",
    "cryocloud.web.audit",
    "cryocloud.web.accounts",
    "cryocloud.web.organizations",
    "cryocloud.web.data",
    "cryocloud.web.projects",
    "cryocloud.web.edits",
    "cryocloud.web.notices",
    "cryocloud.web.runs",
    "cryocloud.web.results",
    "cryocloud.web.metering",
    "cryocloud.web.inbox",
    "cryocloud.web.lifecycle",
    "cryocloud.web.billing",
    "cryocloud.web.payments",
    "cryocloud.web.subscriptions",
    "cryocloud.web.trash",
    "cryocloud.web.scheduling",
    "cryocloud.web.operations",
    "cryocloud.web.pages",
]
if CONFIGURATION.test_seams:
    INSTALLED_APPS.append("cryocloud.web.seams")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "cryocloud.web.core.middleware.request_log",
    "cryocloud.web.core.middleware.no_nul_in_queries",
    "cryocloud.web.core.cookies.only_known_cookies",
    "cryocloud.web.core.middleware.nothing_kept",
    "cryocloud.web.api.error_shape.one_error_shape",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "cryocloud.web.accounts.second_factor.operators_set_up_first",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "cryocloud.web.accounts.known_devices.remember_devices",
    "cryocloud.web.accounts.form_limits.limited_forms",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "cryocloud.web.core.middleware.plain_errors",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [_PACKAGE / "templates"],
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.cached.Loader",
                    [
                        "django.template.loaders.filesystem.Loader",
                        "django.template.loaders.app_directories.Loader",
                    ],
                )
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "cryocloud.web.pages.context.site",
            ],
        },
    }
]

DATABASES = {"default": database_settings(CONFIGURATION)}

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    # Alone: with allauth's beside it, each wrong password would be hashed twice.
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = ["cryocloud.web.accounts.hashing.QueuedArgon2"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/dashboard/"
LOGOUT_REDIRECT_URL = "/"

_HOST = "__Host-" if CONFIGURATION.is_https else ""
SESSION_COOKIE_NAME = f"{_HOST}session"
SESSION_COOKIE_SECURE = CONFIGURATION.is_https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 14 * 24 * 3600
DEVICE_COOKIE_NAME = f"{_HOST}device"
DEVICE_COOKIE_AGE = 365 * 24 * 3600
CSRF_COOKIE_NAME = f"{_HOST}csrf"
CSRF_COOKIE_SECURE = CONFIGURATION.is_https
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = [CONFIGURATION.address]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if CONFIGURATION.is_https else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if CONFIGURATION.is_https else None
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "worker-src": [SELF, "blob:"],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_500_000
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000
# Bodies that wait for their turn lie on the disk, not in memory.
FILE_UPLOAD_MAX_MEMORY_SIZE = 64 << 10

STATIC_URL = "static/"
STATIC_ROOT = CONFIGURATION.home / "static"
STATICFILES_DIRS = [_PACKAGE / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

locals().update(mail_settings(CONFIGURATION.smtp_url, CONFIGURATION.mail_folder))
DEFAULT_FROM_EMAIL = SERVER_EMAIL = CONFIGURATION.mail_from

TASKS = {"default": {"BACKEND": "cryocloud.web.core.tasks.LeaseBackend"}}

# Holds the codes of authenticator apps that were used in the last half minute, and nothing else.
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "core_cache"},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "cryocloud.web.core.log_format.JsonFormatter"},
        "plain": {
            "()": "cryocloud.web.core.log_format.PlainFormatter",
            "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
        },
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": CONFIGURATION.log_format}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "uvicorn.access": {"handlers": [], "propagate": False},
        "mail": {"level": "WARNING"},  # aiosmtpd would write down who mails to whom
        "django.request": {"level": "ERROR"},
        "fontTools": {"level": "WARNING"},
        "stripe": {"level": "WARNING"},
    },
}
