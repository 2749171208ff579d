// The page of a trace. All that comes from spans gets into the document as text
// nodes; only rows in view are there, so a trace may have 100,000 spans.
"use strict";
(function () {
	const data = JSON.parse(document.getElementById("data").textContent);
	const ROW = 22, EXTRA = 10;
	const STATUSES = ["completed", "failed", "cancelled", "started"];
	const $ = (id) => document.getElementById(id);
	// spans come as arrays, in the order of the tree
	const keys = ["depth", "id", "parent", "name", "type", "entity", "status", "from", "duration", "self", "critical",
		"descendants", "prompt", "completion", "total", "cost", "error", "note", "input", "output", "attributes",
		"errorObject", "events"];
	const spans = data.spans.map((values, index) => {
		const span = { index: index, open: true, hit: false, shown: true };
		keys.forEach((key, i) => { span[key] = values[i]; });
		return span;
	});
	const whole = Math.max(data.length, 1);
	let from = 0, until = whole, picked = -1, visible = [], query = "";

	// Characters that do something else than being seen become visible.
	function clean(text) {
		return String(text).replace(
			/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g,
			"\ufffd");
	}

	function element(tag, className, text) {
		const made = document.createElement(tag);
		if (className) made.className = className;
		if (text !== undefined) made.textContent = clean(text);
		return made;
	}

	function duration(us) {
		if (us < 1000) return us + " \u00b5s";
		if (us < 1e6) return (us / 1000).toFixed(us < 1e4 ? 2 : us < 1e5 ? 1 : 0) + " ms";
		if (us < 6e7) return (us / 1e6).toFixed(us < 1e7 ? 2 : 1) + " s";
		const s = Math.floor(us / 1e6);
		if (s < 3600) return Math.floor(s / 60) + "m " + s % 60 + "s";
		return Math.floor(s / 3600) + "h " + Math.floor(s % 3600 / 60) + "m";
	}

	// Decide which rows there are: not below a closed span, and, in a search, on
	// the way to a hit.
	function list() {
		visible = [];
		for (let i = 0; i < spans.length; i++) {
			const span = spans[i];
			if (!span.shown) continue;
			visible.push(i);
			if (!span.open && !query) i += span.descendants;
		}
		$("sheet").style.height = visible.length * ROW + "px";
	}

	function row(at) {
		const span = spans[visible[at]];
		const status = STATUSES.includes(span.status) ? span.status : "cancelled";
		const made = element("div", "row" + (span.hit ? " hit" : "") + (span.index === picked ? " picked" : ""));
		made.id = "row" + span.index;
		made.style.top = at * ROW + "px";
		made.setAttribute("role", "row");
		made.setAttribute("aria-level", span.depth + 1);
		made.setAttribute("aria-selected", span.index === picked);
		if (span.descendants) made.setAttribute("aria-expanded", span.open);
		const name = element("div", "name");
		name.setAttribute("role", "gridcell");
		name.style.paddingLeft = 4 + Math.min(span.depth, 30) * 12 + "px";
		name.append(element("b", "", span.descendants ? (span.open ? "\u25be" : "\u25b8") : ""));
		name.append(element("em", status));
		name.append(element("span", "", span.name || "(no start)"));
		name.append(element("small", "", (span.note ? "! " : "") + duration(span.duration)));
		const lane = element("div", "lane");
		lane.setAttribute("role", "gridcell");
		const bar = element("div", "bar " + status + (span.critical === null ? "" : " critical"));
		const scale = 100 / (until - from);
		// what lies far outside of the view needs no exact place
		const left = Math.max((span.from - from) * scale, -1);
		const right = Math.min((span.from + span.duration - from) * scale, 101);
		bar.style.left = left + "%";
		bar.style.width = Math.max(right - left, 0) + "%";
		bar.title = clean(span.name) + ", " + duration(span.duration);
		lane.append(bar);
		made.append(name, lane);
		made.addEventListener("click", (event) => {
			if (event.target.tagName === "B") toggle(span);
			pick(span.index);
		});
		return made;
	}

	function drawRuler() {
		const ruler = $("ruler");
		ruler.replaceChildren();
		for (let i = 0; i < 5; i++) {
			const mark = element("span", "", duration(Math.round(from + (until - from) * i / 5)));
			mark.style.left = i * 20 + "%";
			ruler.append(mark);
		}
	}

	function draw() {
		const rows = $("rows");
		const first = Math.max(Math.floor(rows.scrollTop / ROW) - EXTRA, 0);
		const last = Math.min(Math.ceil((rows.scrollTop + rows.clientHeight) / ROW) + EXTRA, visible.length);
		const made = [];
		for (let at = first; at < last; at++) made.push(row(at));
		$("sheet").replaceChildren(...made);
		rows.setAttribute("aria-rowcount", visible.length);
		if (picked >= 0) rows.setAttribute("aria-activedescendant", "row" + picked);
	}

	function fact(terms, name, value) {
		if (value === null || value === undefined || value === "") return;
		terms.append(element("dt", "", name), element("dd", "", value));
	}

	function section(panel, name, text) {
		if (text === null || text === undefined) return;
		panel.append(element("h3", "", name), element("pre", "", text));
	}

	function showDetails(span) {
		const panel = $("details"), terms = document.createElement("dl");
		panel.replaceChildren(element("h2", "", span.name || "(no start)"), terms);
		fact(terms, "Status", span.status);
		fact(terms, "Type", span.type);
		fact(terms, "Entity", span.entity);
		fact(terms, "Start", "+" + duration(span.from));
		fact(terms, "Duration", duration(span.duration));
		fact(terms, "Self", duration(span.self));
		fact(terms, "Critical", span.critical === null ? null : duration(span.critical));
		fact(terms, "Spans below", span.descendants || null);
		fact(terms, "Tokens", span.total === null ? null :
			span.total + " (prompt " + span.prompt + ", completion " + span.completion + ")");
		fact(terms, "Cost", span.cost);
		fact(terms, "Note", span.note);
		fact(terms, "Span", span.id);
		fact(terms, "Parent", span.parent);
		section(panel, "Error", span.errorObject || span.error);
		section(panel, "Input", span.input);
		section(panel, "Output", span.output);
		section(panel, "Attributes", span.attributes);
		section(panel, "Events", span.events);
	}

	function pick(index) {
		const rows = $("rows"), at = visible.indexOf(index);
		if (at < 0) return;
		picked = index;
		if (at * ROW < rows.scrollTop) rows.scrollTop = at * ROW;
		else if ((at + 1) * ROW > rows.scrollTop + rows.clientHeight) rows.scrollTop = (at + 1) * ROW - rows.clientHeight;
		showDetails(spans[index]);
		draw();
	}

	function toggle(span) {
		if (!span.descendants) return;
		span.open = !span.open;
		list();
		draw();
	}

	function parentOf(span) {
		for (let i = span.index - 1; i >= 0; i--) {
			if (spans[i].depth < span.depth) return i;
		}
		return span.index;
	}

	function zoom(newFrom, newUntil) {
		const length = Math.min(Math.max(newUntil - newFrom, 1), whole);
		from = Math.min(Math.max(newFrom, 0), whole - length);
		until = from + length;
		drawRuler();
		draw();
	}

	function scale(factor, around) {
		const center = around === undefined ? (from + until) / 2 : around;
		zoom(center - (center - from) * factor, center + (until - center) * factor);
	}

	function matches(span) {
		return [span.name, span.type, span.entity, span.status, span.id, span.error].some(
			(value) => value !== null && String(value).toLowerCase().includes(query));
	}

	function search() {
		query = $("search").value.trim().toLowerCase();
		let hits = 0;
		const path = [];
		for (const span of spans) {
			path.length = span.depth;
			path.push(span);
			span.hit = query !== "" && matches(span);
			span.shown = query === "" || span.hit;
			// the way from the root to a hit, as far as it is not shown yet
			for (let i = span.depth - 1; span.hit && i >= 0 && path[i] && !path[i].shown; i--) path[i].shown = true;
			hits += span.hit;
		}
		$("hits").textContent = query ? hits + " found" : "";
		list();
		draw();
	}

	function move(by) {
		const at = Math.min(Math.max(visible.indexOf(picked) + by, 0), visible.length - 1);
		if (at >= 0) pick(visible[at]);
	}

	const rowKeys = {
		ArrowDown: () => move(1),
		ArrowUp: () => move(-1),
		PageDown: () => move(20),
		PageUp: () => move(-20),
		Home: () => move(-spans.length),
		End: () => move(spans.length),
		ArrowRight: () => { if (picked >= 0 && !spans[picked].open) toggle(spans[picked]); else move(1); },
		ArrowLeft: () => {
			if (picked < 0) return;
			if (spans[picked].open && spans[picked].descendants) toggle(spans[picked]);
			else pick(parentOf(spans[picked]));
		},
	};
	const pageKeys = {
		"/": () => $("search").focus(),
		"+": () => scale(0.5),
		"-": () => scale(2),
		"0": () => zoom(0, whole),
		"a": () => zoom(from - (until - from) / 4, until - (until - from) / 4),
		"d": () => zoom(from + (until - from) / 4, until + (until - from) / 4),
		"Escape": () => { $("search").value = ""; search(); $("rows").focus(); },
	};

	document.addEventListener("keydown", (event) => {
		if (event.ctrlKey || event.metaKey || event.altKey) return;
		const typing = event.target === $("search");
		const action = typing ? (event.key === "Escape" ? pageKeys.Escape : null) :
			pageKeys[event.key] || (event.target === $("rows") || event.target === document.body ? rowKeys[event.key] : null);
		if (!action) return;
		event.preventDefault();
		action();
	});

	// a part of the time scale, chosen by dragging
	let dragFrom = null;
	const timeAt = (event) => {
		const box = $("ruler").getBoundingClientRect();
		return from + (until - from) * Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
	};
	$("ruler").addEventListener("pointerdown", (event) => {
		dragFrom = timeAt(event);
		$("ruler").setPointerCapture(event.pointerId);
	});
	$("ruler").addEventListener("pointermove", (event) => {
		if (dragFrom === null) return;
		drawRuler();
		const mark = document.createElement("i"), to = timeAt(event);
		mark.style.left = (Math.min(dragFrom, to) - from) / (until - from) * 100 + "%";
		mark.style.width = Math.abs(to - dragFrom) / (until - from) * 100 + "%";
		$("ruler").prepend(mark);
	});
	$("ruler").addEventListener("pointerup", (event) => {
		const to = timeAt(event), start = dragFrom;
		dragFrom = null;
		if (Math.abs(to - start) > (until - from) / 100) zoom(Math.min(start, to), Math.max(start, to));
		else drawRuler();
	});
	$("rows").addEventListener("wheel", (event) => {
		if (!event.ctrlKey) return;
		event.preventDefault();
		scale(event.deltaY < 0 ? 0.8 : 1.25);
	}, { passive: false });
	$("rows").addEventListener("scroll", draw);
	window.addEventListener("resize", draw);
	$("search").addEventListener("input", search);
	$("zoom-in").addEventListener("click", () => scale(0.5));
	$("zoom-out").addEventListener("click", () => scale(2));
	$("zoom-all").addEventListener("click", () => zoom(0, whole));
	$("theme").addEventListener("click", () => {
		const root = document.documentElement;
		const dark = root.dataset.theme ? root.dataset.theme === "dark" :
			window.matchMedia("(prefers-color-scheme: dark)").matches;
		root.dataset.theme = dark ? "light" : "dark";
		draw();
	});

	$("title").textContent = clean(data.name || "(no start)");
	$("facts").textContent = clean([data.trace, data.started, duration(data.length), spans.length + " spans",
		data.failed + " failed", data.running + " running"].join(" \u00b7 "));
	list();
	drawRuler();
	if (spans.length) pick(0);
	draw();
	$("rows").focus();
	document.documentElement.dataset.ready = spans.length;
})();
