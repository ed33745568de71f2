// Says beside the button why a passkey was not used; without this the browser tells nobody but its console.
const REASONS: Record<string, string> = {
  NotAllowedError: "The passkey was not used: it was cancelled, took too long, or none on this device belongs to this address.",
  InvalidStateError: "This device or key is registered already.",
  SecurityError: "Browsers offer passkeys only on https addresses with a name, not on bare numbers such as 127.0.0.1.",
  NotSupportedError: "This device cannot make a passkey of the kind that is needed.",
};

function reasonOf(exception: unknown): string {
  const name = exception instanceof Error || exception instanceof DOMException ? exception.name : "";
  const withoutPasskeys = !("credentials" in navigator);
  return REASONS[withoutPasskeys ? "SecurityError" : name] ?? "The passkey could not be used. Try again, or use another way.";
}

document.addEventListener("allauth.error", (event) => {
  const detail = (event as CustomEvent<{ exception: unknown }>).detail;
  for (const place of document.querySelectorAll<HTMLElement>("[data-passkey-problem]")) {
    place.textContent = reasonOf(detail.exception);
    place.hidden = false;
  }
  event.preventDefault();
});
