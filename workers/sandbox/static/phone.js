// Keeps the phone fresh, and sends its forms without leaving the page. Without this file the forms do it alone.
const live = document.getElementById("live");
const log = () => live.querySelector("ol");
const toEnd = () => { log().scrollTop = log().scrollHeight; };

async function refresh() {
  const { phone, revision } = live.dataset;
  const answer = await fetch(`/_sandbox/live?${new URLSearchParams({ phone, revision })}`);
  if (answer.status !== 200) return;
  const atEnd = log().scrollHeight - log().scrollTop - log().clientHeight < 40;
  const top = log().scrollTop;
  const focused = document.activeElement?.id;
  const hadPhone = phone || live.querySelector("nav a") !== null;
  live.innerHTML = await answer.text();
  live.dataset.revision = answer.headers.get("Revision");
  if (!hadPhone && live.querySelector("nav a")) location.reload();
  if (focused) document.getElementById(focused)?.focus();
  if (atEnd) toEnd(); else log().scrollTop = top;
}

async function keepFresh() {
  try {
    if (!document.hidden) await refresh();
  } catch {
    // the sandbox is stopped or busy: the next round asks again
  }
  setTimeout(keepFresh, 1000);
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (live.dataset.phone === "") return; // the answer to a plain form shows the new phone
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form));
  const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
  if (answer.type !== "opaqueredirect") return alert(`Not sent: ${answer.status}`);
  if (form.matches(".reply")) form.reset();
  await refresh();
  toEnd();
});

toEnd();
keepFresh();
