"""How people sign up and log in: settings of allauth, read by ``cryocloud.web.settings``."""

from __future__ import annotations

CODE_LIFE_S = 15 * 60

ACCOUNT_ADAPTER = "cryocloud.web.accounts.adapter.AccountAdapter"
ACCOUNT_FORMS = {
    "signup": "cryocloud.web.accounts.sign_up.SignUpForm",
    "change_password": "cryocloud.web.accounts.password.PasswordForm",
    "reset_password": "cryocloud.web.accounts.limited.ResetForm",
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
# Counted by accounts.guessing and accounts.form_limits, in the database; allauth would count in its cache.
ACCOUNT_RATE_LIMITS = False
MFA_RATE_LIMITS = False
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_ADAPTER = "cryocloud.web.accounts.adapter.SecondFactorAdapter"
MFA_FORMS = {
    "authenticate": "cryocloud.web.accounts.limited.SecondFactorForm",
    "reauthenticate": "cryocloud.web.accounts.limited.ReauthenticationForm",
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
