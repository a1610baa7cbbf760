// Asks for what is new and puts it where it belongs. Everything that comes is written and escaped by the server.
"use strict";

(() => {
  const body = document.body;
  const frame = document.querySelector(".reading iframe");
  const mails = document.querySelector(".mails");
  let last = Number(body.dataset.last);
  let chosen = false; // the reader has picked a mail, so a new one must not take its place

  const following = new Set(); // the chats whose reader is at the end, and wants to stay there

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
    if (!inbox) return;
    const before = inbox.querySelector(`[data-seq="${message.seq}"]`);
    const box = inbox.querySelector(".chat, .mails");
    const holder = document.createElement("template");
    holder.innerHTML = message.html;
    const item = holder.content.firstElementChild;
    item.classList.add(before ? "changed" : "new");
    if (before) { // it was updated, or has a reply: its head is what to look at
      before.replaceWith(item);
      const above = item.getBoundingClientRect().top - box.getBoundingClientRect().top;
      if (following.has(box) || above < 0) box.scrollTop += above - 12;
    } else if (box === mails) {
      box.prepend(item);
      if (!chosen) open(item);
    } else {
      box.insertBefore(item, box.querySelector(".empty"));
      if (following.has(box)) toEnd(box);
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
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) if (following.has(target)) toEnd(target);
  });
  for (const chat of document.querySelectorAll(".chat")) {
    following.add(chat);
    chat.addEventListener("scroll", () => {
      const atEnd = chat.scrollHeight - chat.scrollTop - chat.clientHeight < 60;
      if (atEnd) following.add(chat); else following.delete(chat);
    });
    resized.observe(chat);
    toEnd(chat);
  }
  open(mails.querySelector(".mail"));
  setTimeout(poll, 300);
})();
