"""Where the mailed link of an invitation to the platform leads."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from cryocloud.web.accounts.guessing import count_wrong_secret, place_of
from cryocloud.web.accounts.models import User
from cryocloud.web.accounts.sign_up import SIGN_UP_PERMIT
from cryocloud.web.core.errors import NotFound
from cryocloud.web.inbox.sign_up import sign_up_invitation_of


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def welcome(request: HttpRequest, secret: str) -> HttpResponseBase:
    """For anybody who holds the link; who is logged in has another account, and for that one it is not there."""
    if isinstance(request.user, User):
        raise NotFound
    try:
        found = sign_up_invitation_of(secret)
    except NotFound:
        count_wrong_secret("link", place_of(request))
        raise
    if request.method == "POST":
        request.session[SIGN_UP_PERMIT] = {"email": found.email, "joins": False}
        return redirect("account_signup")
    host = User.objects.get(pk=found.invited_by_id)
    return render(request, "operations/welcome.html", {"invitation": found, "host": host})


urlpatterns: list[URLPattern] = [path("welcome/<str:secret>/", welcome, name="welcome")]
