"""The demo, end to end: a platform, a visitor, simulated micrographs, and a map that agrees with the truth."""

import json
import os
import smtplib
import subprocess
import sys
from email.message import EmailMessage

import pytest

from cryocloud.client.mail_sink import mail_sink


def test_the_mail_sink_keeps_what_django_would_send():
    with mail_sink() as sink, smtplib.SMTP("127.0.0.1", sink.server_address[1]) as sender:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "hi@cryocloud.example", "ada@lab.example", "Confirm"
        mail.set_content("Your code is\n\n    ABCD-EFGH\n\n.a line that begins with a dot\n")
        sender.send_message(mail)
        assert sink.wait_for(r"(?m)^ +([A-Z]{4}-[A-Z]{4})$", timeout_s=10) == "ABCD-EFGH"
        assert sink.wait_for(r"(?m)^(\.a line)", timeout_s=10) == ".a line"
        with pytest.raises(TimeoutError, match="no mail"):
            sink.wait_for("never", timeout_s=0.2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_demo_finds_the_simulated_structure(tmp_path):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "cryocloud.client.cli", "demo", "--out", str(out)]
    own = {name: text for name, text in os.environ.items() if not name.startswith(("CRYOCLOUD_", "DJANGO_"))}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=own)
    assert ended.returncode == 0, ended.stderr
    compared = json.loads((out / "Compared/metrics.json").read_text())
    record = json.loads((out / "Downloaded/run.json").read_text())
    assert record["warnings"] == []
    # The bars of the picking and of a usable start map: both at least 0.8, correlation above 0.9 at 20 A.
    assert compared["recall"] > 0.8
    assert compared["precision"] > 0.8
    assert compared["cc_20A"] > 0.9
    # Two Fourier pixels at the rim of the 160 A particle are 2.9 degrees at 4 A; wrong poses lie far beyond.
    assert compared["median_pose_error_deg"] < 2.9
    assert (out / "Platform/db.sqlite3").stat().st_size > 0
    for word in (
        "signed up",
        "uploaded 8",
        "CPU seconds",
        "map_sharpened.mrc",
        "median pose error",
        "cryocloud up",
    ):
        assert word in ended.stdout
