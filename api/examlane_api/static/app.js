/* What the pages need beside htmx: know that scripts run, show the board at the present time and a dry run's result, take care of toasts. */
"use strict";

const LASTS = 12000;
document.documentElement.classList.add("js");

function remove(toast) {
  if (toast.matches(":hover, :focus-within")) return void setTimeout(remove, LASTS, toast);
  toast.remove();
}

function arm() {
  for (const toast of document.querySelectorAll("#toasts .toast:not(.armed, .error)")) {
    toast.classList.add("armed");
    setTimeout(remove, LASTS, toast);
  }
}

function sayFailed(event) {
  const { ctx } = event.detail;
  if ([409, 422].includes(ctx.response?.status) || ctx.request.method === "GET") return;
  ctx.sourceElement.closest("form")?.reset();
  document.getElementById("toasts").replaceChildren(document.getElementById("failed").content.cloneNode(true));
}

function showTrial() {
  document.querySelector(".trial:not(.seen)")?.scrollIntoView({ block: "start" });
  document.querySelector(".trial")?.classList.add("seen");
}

document.addEventListener("DOMContentLoaded", () => {
  const now = document.querySelector(".now span");
  const board = now?.closest(".board");
  if (board) board.scrollTop = now.offsetTop - board.clientHeight / 3;
  document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  arm();
  showTrial();
});
document.addEventListener("click", (event) => event.target.closest("[data-close]")?.closest(".toast").remove());
document.addEventListener("htmx:after:swap", arm);
document.addEventListener("htmx:after:swap", showTrial);
document.addEventListener("htmx:response:error", sayFailed);
document.addEventListener("htmx:error", sayFailed);
