// What pages do beyond links and forms: keys, charts. Without it every page still works.
"use strict";

(() => {
  const prefix = document.querySelector(".brand").getAttribute("href");
  const GO = { o: "", n: "/inbox", a: "/apps", j: "/cdn/jobs", i: "/cdn/traffic", b: "/cdn/billing", t: "/tasks", m: "/machines", e: "/cdn/edges", c: "/cdn/customers", r: "/admin/audit", u: "/admin/accounts" };
  let going = 0;

  function isTyping(target) {
    return target.closest("input, textarea, select, [contenteditable], [data-typing]") !== null;
  }

  function rows() {
    return [...document.querySelectorAll("tbody tr[data-row]")];
  }

  function move(step) {
    const all = rows();
    if (all.length === 0) return;
    const at = all.findIndex((row) => row.getAttribute("aria-selected") === "true");
    const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    all.forEach((row) => row.removeAttribute("aria-selected"));
    next.setAttribute("aria-selected", "true");
    const link = next.querySelector("a, button");
    if (link) link.focus();
  }

  function press(name) {
    const selected = document.querySelector("tr[aria-selected='true']") || document;
    const found = selected.querySelector(`[data-key="${name}"]`) || document.querySelector(`[data-key="${name}"]`);
    if (found) found.click();
    return Boolean(found);
  }

  // An editor on the full screen. What is behind it is inert meanwhile, so that the tab key does not leave it.
  function setFull(sheet, isFull) {
    sheet.classList.toggle("full", isFull);
    sheet.querySelector("[data-full]").setAttribute("aria-pressed", String(isFull));
    for (let at = sheet; at !== document.body; at = at.parentElement) {
      for (const beside of at.parentElement.children) if (beside !== at) beside.inert = isFull;
    }
    const scroller = sheet.querySelector("[data-typing]")?.shadowRoot.querySelector(".cm-scroller");
    if (scroller) scroller.style.maxHeight = scroller.style.minHeight = isFull ? "calc(100vh - 8rem)" : "";
  }

  document.addEventListener("click", (event) => {
    const sheet = event.target.closest("[data-full]")?.closest(".sheet");
    if (sheet) setFull(sheet, !sheet.classList.contains("full"));
  });

  document.addEventListener("keydown", (event) => {
    const form = event.target.closest("form");
    const full = document.querySelector(".sheet.full");
    const sheet = full || event.target.closest(".sheet") || document.querySelector(".sheet");
    if (sheet && event.key === "Enter" && event.altKey) {
      event.preventDefault();
      setFull(sheet, !full);
      return;
    }
    if (full && event.key === "Escape") {
      // The editor's own search is closed first.
      if (!event.defaultPrevented) setFull(full, false);
      return;
    }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && form) {
      event.preventDefault();
      form.requestSubmit(form.querySelector("button.main") || form.querySelector("button"));
      return;
    }
    if (event.key === "Escape" && isTyping(event.target)) {
      const cancel = form?.querySelector("[data-cancel]");
      if (cancel) cancel.click();
      else event.target.blur();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (Date.now() - going < 1500 && event.key in GO) {
      going = 0;
      const link = document.querySelector(`nav a[href="${prefix}${GO[event.key]}"]`);
      if (link) link.click();
      return;
    }
    if (event.key === "g") going = Date.now();
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "/") {
      // Where a page has no filter, everything is searched.
      const filter = document.querySelector("[data-filter]") || document.querySelector(`nav a[href="${prefix}/search"]`);
      if (filter) { event.preventDefault(); if (filter.href) filter.click(); else filter.focus(); }
    } else if (["e", "p", "a", "b", "n", "r", "s", "x"].includes(event.key) && press(event.key)) event.preventDefault();
  });

  // What is typed beside a choice chooses it.
  document.addEventListener("input", (event) => {
    const choice = event.target.closest("label")?.querySelector("input[type=radio]");
    if (choice && choice !== event.target) choice.checked = true;
  });

  // A live part begins again by itself once it has begun; where nobody answered at first, it is begun here.
  document.addEventListener("htmx:error", (event) => {
    const part = event.target;
    const url = part.getAttribute?.("hx-sse:connect");
    if (!url) return;
    setTimeout(() => {
      if (part.isConnected && !part._htmx?.sse) htmx.ajax("GET", url, { source: part });
    }, 2000);
  });

  document.addEventListener("htmx:after:swap", () => {
    const field = document.querySelector("[data-focus]");
    if (field) field.focus();
    enrich();
  });

  // Long values get an editor, whose script is loaded with the first of them.
  let isLoading = false;
  function enrich() {
    document.querySelectorAll("[data-full]").forEach((button) => { button.hidden = false; });
    const isLong = (area) => !area.hidden && (area.value.includes("\n") || area.value.length > 200);
    const areas = [...document.querySelectorAll("textarea[data-editor]")].filter(isLong);
    if (areas.length === 0) return;
    if (window.pilothouseEditor) areas.forEach(window.pilothouseEditor);
    if (window.pilothouseEditor || isLoading) return;
    isLoading = true;
    const script = document.createElement("script");
    script.src = areas[0].dataset.source;
    script.addEventListener("load", enrich);
    document.head.append(script);
  }
  enrich();

  // A chart of a table beside it, which stays for those who read it otherwise. Dragging zooms, and the address says where to.
  function draw(element) {
    const series = JSON.parse(element.dataset.series);
    const style = getComputedStyle(element);
    const lines = series.lines || [];
    const data = [series.times, ...series.values, ...lines.map((line) => series.times.map(() => line.value))];
    const colours = ["#3b82d6", "#2a9d5c", "#c98a1b", "#c94f4f", "#8a63d2"];
    const unit = (value) => {
      if (value === null) return "";
      let size = Math.abs(value), n = 0;
      while (size >= 1000 && n < 5) { size /= 1000; n += 1; }
      return `${(Math.sign(value) * size).toFixed(n ? 1 : 0)} ${["", "k", "M", "G", "T", "P"][n]}${series.unit}`;
    };
    const axis = { stroke: style.color, grid: { stroke: "#8884", width: 1 }, ticks: { stroke: "#8884" } };
    const chart = new uPlot({
      width: element.clientWidth,
      height: 320,
      tzDate: (time) => uPlot.tzDate(new Date(time * 1000), series.zone),
      cursor: { drag: { x: true, y: false, setScale: false } },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] } },
      axes: [axis, { ...axis, size: 80, values: (_, ticks) => ticks.map(unit) }],
      series: [
        {},
        ...series.names.map((name, n) => ({ label: name, stroke: colours[n % colours.length], width: 1.5, value: (_, value) => unit(value) })),
        ...lines.map((line, n) => ({ label: line.name, stroke: colours[(n + 2) % colours.length], dash: [8, 5], width: 1, value: (_, value) => unit(value) })),
      ],
      hooks: {
        setSelect: [(self) => {
          if (self.select.width < 8) return;
          const url = new URL(location.href);
          url.searchParams.set("range", "own");
          url.searchParams.set("start", Math.floor(self.posToVal(self.select.left, "x")));
          url.searchParams.set("end", Math.ceil(self.posToVal(self.select.left + self.select.width, "x")));
          location.assign(url);
        }],
      },
    }, data, element);
    addEventListener("resize", () => chart.setSize({ width: element.clientWidth, height: 320 }));
    element.dataset.drawn = "true";
  }

  document.querySelectorAll(".chart").forEach(draw);
})();
