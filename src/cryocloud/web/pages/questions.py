"""Questions and answers. Every figure comes from the configuration that also enforces it."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from cryocloud.web import terms
from cryocloud.web.configuration import Configuration
from cryocloud.web.pages.templatetags.wording import bytes_text


@dataclass(frozen=True)
class Question:
    title: str
    answer: SafeString
    is_for_the_start_page: bool = False


def questions(site: Configuration) -> list[Question]:
    is_sold = terms.billing() is not None
    return [
        *([_about_the_trial(site, is_sold)] if site.has_trials else []),
        *([_about_hours()] if site.has_trials or is_sold else []),
        *([_about_the_end_of_the_trial(site, is_sold)] if site.has_trials else []),
        *([_about_refunds(site)] if is_sold and site.refund_days else []),
        *_about_the_work(),
        *_about_the_data(site),
        *_about_help(site),
    ]


def _about_the_trial(site: Configuration, is_sold: bool) -> Question:
    return Question(
        "Is there a free trial?",
        format_html(
            "<p>Yes. Signing up starts a trial of {} days with the full application. It includes {} hours of compute "
            "and {} of storage. There is nothing to set up and no card to enter.</p><p>{}</p>",
            site.trial_days,
            site.trial_compute_hours,
            bytes_text(site.trial_storage_bytes),
            "During the trial or after it you choose a plan, or write to us about a custom one. Your data stay where "
            "they are, without interruption."
            if is_sold
            else f"To go on after it, write to {site.contact_words}.",
        ),
        is_for_the_start_page=True,
    )


def _about_hours() -> Question:
    return Question(
        "What counts as an hour of compute?",
        mark_safe(
            "<p>One hour is one slot for one hour: a job takes one slot, or as many as the GPUs that it uses. Seconds "
            "are counted exactly, and jobs that fail for a reason of ours cost nothing. Storage is counted in decimal "
            "bytes (1 TB is 1,000,000,000,000 bytes) and includes results and the trash.</p>"
        ),
    )


def _about_the_end_of_the_trial(site: Configuration, is_sold: bool) -> Question:
    return Question(
        "What happens to my data after the trial?",
        format_html(
            "<p>For {} days you can see, download and delete everything, but add and compute nothing. {} Then the "
            "organization is closed, and its data cannot be reached any more. We mail you before each of these dates, "
            "and its page shows them.</p>",
            site.retrieval_days,
            "With a plan everything goes on as it was." if is_sold else "",
        ),
    )


def _about_refunds(site: Configuration) -> Question:
    return Question(
        "How does the risk-free period work?",
        format_html(
            "<p>If a paid plan does not satisfy you, deactivate it within {} days of your first payment and you get "
            "100 % of everything paid back, once for an organization. You deactivate it yourself, in the settings of "
            "your account; after these days it ends with the period that is paid. Data can then be fetched for {} "
            "days.</p>",
            site.refund_days,
            site.retrieval_days,
        ),
        is_for_the_start_page=True,
    )


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
