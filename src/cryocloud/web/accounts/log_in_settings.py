"""How people sign up and log in: settings of allauth and axes, read by ``cryocloud.web.settings``."""

from __future__ import annotations

from datetime import timedelta

CODE_LIFE_S = 15 * 60

ACCOUNT_ADAPTER = "cryocloud.web.accounts.adapter.AccountAdapter"
ACCOUNT_FORMS = {
    "signup": "cryocloud.web.accounts.sign_up.SignUpForm",
    "change_password": "cryocloud.web.accounts.password.PasswordForm",
}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_TIMEOUT = CODE_LIFE_S
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_CHANGE = False
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
ACCOUNT_PASSWORD_RESET_BY_CODE_TIMEOUT = CODE_LIFE_S
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 10 * 60
# "key" is the address, or the person at a second factor. One web process counts them in its own memory.
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "20/m/ip,10/10m/key",
    "signup": "20/m/ip",
    "reset_password": "20/m/ip,5/10m/key",
    "confirm_email": "1/10s/key",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_ADAPTER = "cryocloud.web.accounts.adapter.SecondFactorAdapter"
MFA_FORMS = {
    "login_webauthn": "cryocloud.web.accounts.passkeys.LogInForm",
    "authenticate_webauthn": "cryocloud.web.accounts.passkeys.SecondFactorForm",
    "reauthenticate_webauthn": "cryocloud.web.accounts.passkeys.ReauthenticationForm",
    "add_webauthn": "cryocloud.web.accounts.passkeys.AddForm",
}
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODE_DIGITS = 10
MFA_TOTP_TOLERANCE = 1
MFA_TOTP_ISSUER = "CryoCloud"
# Browsers themselves refuse passkeys on plain HTTP, except on "localhost".
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = True
USERSESSIONS_TRACK_ACTIVITY = True
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # no cookie of its own

# Five wrong passwords for one address from one place close that pair for a quarter of an hour.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["ip_address", "username"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_USERNAME_CALLABLE = "cryocloud.web.accounts.lockout.address_tried"
AXES_LOCKOUT_CALLABLE = "cryocloud.web.accounts.lockout.locked_out_page"
AXES_DISABLE_ACCESS_LOG = True
AXES_SENSITIVE_PARAMETERS = ["login", "username", "ip_address", "csrfmiddlewaretoken", "password"]
