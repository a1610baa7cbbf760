// Asks for what is new and puts it where it belongs. Everything that comes is written and escaped by the server.
"use strict";

(() => {
  const body = document.body;
  const frame = document.querySelector(".reading iframe");
  const mails = document.querySelector(".mails");
  let last = Number(body.dataset.last);
  let chosen = false; // the reader has picked a mail, so a new one must not take its place

  const toEnd = (box) => { box.scrollTop = box.scrollHeight; };

  const open = (mail) => {
    if (!mail) return;
    for (const m of mails.querySelectorAll(".mail")) m.classList.toggle("open", m === mail);
    mail.classList.add("seen");
    if (frame.getAttribute("src") !== mail.dataset.src) frame.src = mail.dataset.src;
    frame.hidden = false;
  };

  const add = (message) => {
    const inbox = document.getElementById(message.inbox);
    if (!inbox || inbox.querySelector(`[data-seq="${message.seq}"]`)) return;
    const box = inbox.querySelector(".chat, .mails");
    const holder = document.createElement("template");
    holder.innerHTML = message.html;
    const item = holder.content.firstElementChild;
    item.classList.add("new");
    if (box === mails) {
      box.prepend(item);
      if (!chosen) open(item);
    } else {
      const below = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
      box.insertBefore(item, box.querySelector(".empty"));
      if (below) toEnd(box);
    }
  };

  const refresh = (id, html) => {
    const box = document.getElementById(id);
    if (box.dataset.html !== html) {
      box.innerHTML = html;
      box.dataset.html = html;
    }
  };

  const poll = async () => {
    try {
      const answer = await fetch(`/updates?after=${last}&lang=${body.dataset.lang}`);
      const news = await answer.json();
      for (const message of news.messages) add(message);
      for (const [inbox, title] of Object.entries(news.titles)) {
        if (title) document.querySelector(`#${inbox} h2`).textContent = title;
      }
      refresh("timeline", news.timeline);
      refresh("totals", news.totals);
      last = news.last;
      body.classList.remove("lost");
    } catch {
      body.classList.add("lost");
    }
    setTimeout(poll, 500);
  };

  mails.append(...[...mails.querySelectorAll(".mail")].reverse(), mails.querySelector(".empty"));
  mails.addEventListener("click", (event) => {
    const mail = event.target.closest(".mail");
    if (mail) { chosen = true; open(mail); }
  });
  for (const chat of document.querySelectorAll(".chat")) toEnd(chat);
  open(mails.querySelector(".mail"));
  setTimeout(poll, 300);
})();
