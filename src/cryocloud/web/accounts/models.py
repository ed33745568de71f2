"""People, and the tokens that programs use in their name."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models

from cryocloud.web.core.clock import now
from cryocloud.web.core.ids import ID_LENGTH, new_id


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **extra: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, email: str | None) -> User:
        return self.get(email__iexact=email)


class User(AbstractBaseUser):
    """A person who logs in with an e-mail address."""

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=new_id, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120)
    is_active = models.BooleanField(default=True)
    is_operator = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=now, editable=False)
    current_organization_id = models.CharField(max_length=ID_LENGTH, blank=True)
    # Asked at sign-up, made into an organization once the address is confirmed, then emptied.
    wanted_organization = models.CharField(max_length=120, blank=True)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return self.name or self.email


class ApiToken(models.Model):
    """A secret of which only the SHA-256 is kept; it reaches one organization, no further than its scopes."""

    class Scope(models.TextChoices):
        READ = "read", "read everything"
        WRITE = "write", "upload, run and delete"
        ADMIN = "admin", "also govern members, roles and the organization"

    id = models.CharField(primary_key=True, max_length=ID_LENGTH, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    organization_id = models.CharField(max_length=ID_LENGTH)
    name = models.CharField(max_length=80)
    secret_hash = models.CharField(max_length=64, unique=True)
    scope = models.CharField(max_length=8, choices=Scope)
    created_at = models.DateTimeField(default=now, editable=False)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)


class KeptAnswer(models.Model):
    """What was answered to an order with an ``Idempotency-Key``; ``id`` is a hash of who gave it and the key."""

    id = models.CharField(primary_key=True, max_length=64, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    order_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    content = models.TextField()
    created_at = models.DateTimeField(default=now, db_index=True)
