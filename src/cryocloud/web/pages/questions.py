"""Questions and answers. Every figure comes from the configuration that also enforces it."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from cryocloud.web.configuration import Configuration
from cryocloud.web.pages.templatetags.wording import bytes_text


@dataclass(frozen=True)
class Question:
    title: str
    answer: SafeString
    is_for_the_start_page: bool = False


def questions(site: Configuration) -> list[Question]:
    about_plans = _about_the_trial(site) if site.has_trials else []
    return [*about_plans, *_about_the_work(), *_about_the_data(site), *_about_help(site)]


def _about_the_trial(site: Configuration) -> list[Question]:
    return [
        Question(
            "Is there a free trial?",
            format_html(
                "<p>Yes. Signing up starts a trial of {} days with the full application. It includes {} hours of "
                "compute and {} of storage. There is nothing to set up and no card to enter.</p><p>After the trial you "
                "change to a paid subscription, or write to us about a custom plan. Your data stay where they are, "
                "without interruption.</p>",
                site.trial_days,
                site.trial_compute_hours,
                bytes_text(site.trial_storage_bytes),
            ),
            is_for_the_start_page=True,
        ),
        Question(
            "What counts as an hour of compute?",
            format_html(
                "<p>One hour during which one node works on your job, counted to the second. Jobs that fail for a "
                "reason of ours cost nothing. {} are counted in decimal bytes and include results and the trash.</p>",
                bytes_text(site.trial_storage_bytes),
            ),
        ),
        Question(
            "How does the risk-free period work?",
            format_html(
                "<p>If a paid plan does not satisfy you, cancel it within {} days and you get 100 % back. "
                "You deactivate the subscription yourself, in the settings of your account.</p>",
                site.refund_days,
            ),
            is_for_the_start_page=True,
        ),
    ]


def _about_the_work() -> list[Question]:
    return [
        Question(
            "Do I need to install anything?",
            mark_safe(
                "<p>No. A simple computer, internet access and a browser are enough; the images are computed on our "
                "machines. If you like a command line, there is one, but nothing requires it.</p>"
            ),
            is_for_the_start_page=True,
        ),
        Question(
            "Which files can I bring?",
            mark_safe(
                "<p>Micrographs and particle stacks as MRC or MRCS, with STAR files of RELION where you have them. "
                "Results come back in the same formats, so you can go on in other programs at any step.</p>"
            ),
        ),
        Question(
            "Can I close the laptop during an upload or a run?",
            mark_safe(
                "<p>Yes. A run does not need your browser at all. An upload that was cut off goes on where it "
                "stopped when you choose the same files again.</p>"
            ),
        ),
    ]


def _about_the_data(site: Configuration) -> list[Question]:
    return [
        Question(
            "Who owns what I upload and compute?",
            mark_safe(
                "<p>You do: the images, the 3D density maps and the atomic models, with all rights in them. You can "
                "download or delete them at any time. Details: <a href='/privacy/'>privacy policy</a>.</p>"
            ),
            is_for_the_start_page=True,
        ),
        Question(
            "Who in my organization sees my data?",
            mark_safe(
                "<p>The members of the organization to which they belong, each according to a role: viewers look, "
                "editors work, admins invite people, owners decide. People outside see nothing.</p>"
            ),
        ),
    ]


def _about_help(site: Configuration) -> list[Question]:
    mail = format_html("<a href='mailto:{0}'>{0}</a>", site.contact) if site.contact else site.contact_words
    begin = (
        format_html("<a href='/accounts/signup/'>Sign up</a>, or write to {}, and we invite you.", mail)
        if site.sign_up_open
        else format_html(
            "Sign-up is by invitation here: ask a member of your organization, or write to {}.", mail
        )
    )
    return [
        Question(
            "How do I start?",
            format_html(
                "<p>{} The <a href='/guide/'>guide</a> leads from the first upload to a map.</p>", begin
            ),
        ),
        Question("My question is not here.", format_html("<p>Write to {}; a person reads it.</p>", mail)),
    ]
